import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useMemo, useRef, useState, type JSX } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";

import { useChain } from "../api/queries";
import type { Summary } from "../api/types";
import { attempts, type Attempts } from "../lib/attempts";
import { forest, rows, type Row } from "../lib/forest";
import { useNow } from "../lib/now";
import { ended, statusOf, words } from "../lib/status";
import { oneLine, plain } from "../lib/text";
import { bar, span, type Span } from "../lib/timeline";
import { duration, ordinal, plural } from "../lib/time";
import { Icon } from "../ui/icon";
import { Awaited, Badge, Card, Copy, Empty, Side, Text, Took, Trouble } from "../ui/kit";
import { later } from "../ui/later";
import { TreeRow, treeKeys } from "../ui/tree";
import { useTitle } from "../ui/frame";

const Comparison = later(async () => (await import("./compare")).Comparison);

const ROW = 36;
// So many are loaded without being asked for; more by the button.
const UNASKED = 10_000;

export function ChainPage(): JSX.Element {
  const correlation = useParams()["correlation"] ?? "";
  const answer = useChain(correlation);
  const nodes = useMemo(() => answer.data?.pages.flatMap((page) => page.executions) ?? [], [answer.data]);
  const { hasNextPage, isFetching, isFetchNextPageError, fetchNextPage } = answer;
  useEffect(() => {
    if (hasNextPage && !isFetching && !isFetchNextPageError && nodes.length < UNASKED) void fetchNextPage();
  }, [hasNextPage, isFetching, isFetchNextPageError, fetchNextPage, nodes.length]);
  const first = answer.data?.pages[0];
  const root = nodes.find((node) => node.execution_id === first?.root_execution_id);
  useTitle(oneLine(root?.title) || `Chain ${correlation}`);
  return (
    <div className="page">
      {answer.error && !answer.data && <h1 className="any">{plain(correlation)}</h1>}
      <Awaited answer={answer} rows={8}>
        {() => (
          <>
            <header className="stack tight">
              <div className="crumbs">
                <Icon name="chain" size={14} /> Chain <code className="any">{plain(correlation)}</code>
              </div>
              <div className="page-head">
                <h1 className="grow any">
                  <Text>{oneLine(root?.title, 300) || correlation}</Text>
                </h1>
                <div className="row">
                  <Copy text={location.href} label="Copy the link">
                    Link
                  </Copy>
                  <Copy text={`executor chain ${JSON.stringify(correlation)}`} label="Copy the command that shows this">
                    Command
                  </Copy>
                </div>
              </div>
              <Outcome nodes={nodes} total={first?.total_executions ?? nodes.length} />
            </header>
            <Card
              title="Executions"
              side={
                <span className="dim num">
                  {nodes.length < (first?.total_executions ?? 0) ? `${nodes.length.toLocaleString("en")} of ` : ""}
                  {plural(first?.total_executions ?? nodes.length, "execution")}
                </span>
              }
            >
              <Gantt nodes={nodes} />
              {isFetchNextPageError && <Trouble error={answer.error} again={() => void fetchNextPage()} />}
              {hasNextPage && nodes.length >= UNASKED && (
                <div className="more">
                  <button type="button" className="button small" disabled={isFetching} onClick={() => void fetchNextPage()}>
                    Load 500 more
                  </button>
                </div>
              )}
            </Card>
            {nodes.length > 1 && <Compare nodes={nodes} />}
          </>
        )}
      </Awaited>
    </div>
  );
}

/** The time all of them take together. The clock moves nothing once they have ended. */
function useWhole(nodes: readonly Summary[]): Span | null {
  const now = useNow();
  const done = useMemo(() => nodes.every(ended), [nodes]);
  const until = done ? 0 : now;
  return useMemo(() => span(nodes, until), [nodes, until]);
}

function Outcome({ nodes, total }: { nodes: readonly Summary[]; total: number }): JSX.Element {
  const groups = useMemo(() => attempts(nodes), [nodes]);
  const open = groups.filter((group) => group.outcome === "open");
  const fixed = groups.filter((group) => group.outcome === "fixed");
  const running = groups.filter((group) => group.outcome === "running");
  const whole = useWhole(nodes);
  return (
    <div className="row wrap">
      {running.length > 0 && (
        <Badge tone="blue" icon="running">
          {plural(running.length, "task")} running or waiting
        </Badge>
      )}
      {open.length > 0 && (
        <Badge tone="red" icon="cross">
          {plural(open.length, "task")} failed, nothing has fixed {open.length === 1 ? "it" : "them"}
        </Badge>
      )}
      {fixed.slice(0, 5).map((group) => (
        <Fixed key={group.fixedBy?.execution_id} group={group} />
      ))}
      {fixed.length > 5 && <Badge tone="green">{fixed.length - 5} more fixed</Badge>}
      {open.length + fixed.length + running.length === 0 && (
        <Badge tone="green" icon="check">
          completed
        </Badge>
      )}
      <span className="soft num">
        {plural(total, "execution")}
        {whole && `, ${duration((whole.to - whole.from) / 1000)} from first to last`}
      </span>
    </div>
  );
}

function Fixed({ group }: { group: Attempts<Summary> }): JSX.Element | null {
  const by = group.fixedBy;
  if (!by) return null;
  return (
    <Link to={`/executions/${encodeURIComponent(by.execution_id)}`}>
      <Badge tone="green" icon="check">
        Fixed by {words(by.trigger_kind)} “{oneLine(by.title, 60) || by.execution_id}”, {ordinal(by.attempt)} attempt
      </Badge>
    </Link>
  );
}

function Gantt({ nodes }: { nodes: readonly Summary[] }): JSX.Element {
  const navigate = useNavigate();
  const now = useNow();
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const shown = useMemo(() => rows(forest(nodes), collapsed), [nodes, collapsed]);
  const whole = useWhole(nodes);
  const [at, setAt] = useState(0);
  const moved = useRef(false);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({ count: shown.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 6 });
  const toggle = useCallback(
    (id: string): void =>
      setCollapsed((known) => {
        const next = new Set(known);
        if (!next.delete(id)) next.add(id);
        return next;
      }),
    [],
  );
  useEffect(() => {
    if (!moved.current) return;
    moved.current = false;
    virtual.scrollToIndex(at);
    requestAnimationFrame(() => box.current?.querySelector<HTMLElement>("[role=treeitem][tabindex='0']")?.focus());
  }, [at, virtual]);
  const keys = treeKeys(shown, at, {
    go: (index) => {
      moved.current = true;
      setAt(index);
    },
    toggle,
    open: (id) => void navigate(`/executions/${encodeURIComponent(id)}`),
    collapsed,
  });
  if (nodes.length === 0) return <Empty icon="chain" title="This chain is empty" />;
  return (
    <div className="gantt" ref={box} role="tree" aria-label="Executions of the chain" onKeyDown={keys} style={{ height: Math.min(shown.length * ROW, 560) }}>
      <div style={{ height: virtual.getTotalSize(), position: "relative" }} role="presentation">
        {virtual.getVirtualItems().map((item) => {
          const row = shown[item.index];
          if (!row) return null;
          return (
            <GanttRow
              key={row.item.node.execution_id}
              row={row}
              index={item.index}
              start={item.start}
              current={item.index === at}
              last={item.index === shown.length - 1}
              open={!collapsed.has(row.item.node.execution_id)}
              whole={whole}
              now={ended(row.item.node) ? 0 : now}
              toggle={toggle}
              focused={setAt}
            />
          );
        })}
      </div>
    </div>
  );
}

interface GanttRowProps {
  readonly row: Row<Summary>;
  readonly index: number;
  readonly start: number;
  readonly current: boolean;
  readonly last: boolean;
  readonly open: boolean;
  readonly whole: Span | null;
  readonly now: number;
  readonly toggle: (id: string) => void;
  readonly focused: (index: number) => void;
}

const NONE: ReadonlySet<string> = new Set();

/** Drawn again only when something of it changed: while rows scroll by, most of them stay. */
const GanttRow = memo(function GanttRow({ row, index, start, current, last, open, whole, now, toggle, focused }: GanttRowProps): JSX.Element {
  const { node, children } = row.item;
  const place = whole ? bar(node, whole, now) : null;
  const right = place !== null && place.left + place.width > 70;
  const beside = !right
    ? { left: `calc(${(place?.left ?? 0) + (place?.width ?? 0)}% + 8px)` }
    : place.left > 14
      ? { right: `calc(${100 - place.left}% + 6px)` }
      : { right: 8 };
  return (
    <div
      className="gantt-row"
      data-last={last}
      role="treeitem"
      aria-level={row.level + 1}
      aria-setsize={-1}
      aria-posinset={index + 1}
      aria-selected={current}
      {...(children.length > 0 ? { "aria-expanded": open } : {})}
      tabIndex={current ? 0 : -1}
      onFocus={(event) => {
        if (event.target === event.currentTarget) focused(index);
      }}
      style={{ transform: `translateY(${start}px)` }}
    >
      <TreeRow
        row={row}
        current={null}
        collapsed={open ? NONE : new Set([node.execution_id])}
        toggle={toggle}
        more={<span className="phone-only dim num">{duration(node.duration_seconds)}</span>}
      />
      <div className="lane">
        {place && (
          <>
            <div className="bar" data-tone={statusOf(node).tone} style={{ left: `min(${place.left}%, calc(100% - 3px))`, width: `${place.width}%` }} />
            <span className="bar-text num" data-inside={right && place.left <= 14} style={beside}>
              <Took of={node} />
            </span>
          </>
        )}
      </div>
    </div>
  );
});

function Compare({ nodes }: { nodes: readonly Summary[] }): JSX.Element {
  const [params, setParams] = useSearchParams();
  const groups = useMemo(() => attempts(nodes), [nodes]);
  const tried = groups.find((group) => group.members.length > 1)?.members ?? [];
  const left = params.get("left") ?? tried[0]?.execution_id ?? "";
  const right = params.get("right") ?? tried.at(-1)?.execution_id ?? "";
  const set = (changed: Readonly<Record<string, string>>): void =>
    setParams((known) => new URLSearchParams({ ...Object.fromEntries(known), ...changed }), { replace: true });
  const choose = (side: "left" | "right", id: string): void => set({ [side]: id });
  const swap = (one: string, other: string): void => set({ left: one, right: other });
  const none = (
    <option key="" value="" disabled>
      choose one
    </option>
  );
  const options = nodes.slice(0, 500).map((node) => (
    <option key={node.execution_id} value={node.execution_id}>
      {plain(node.execution_id).slice(-8)} {statusOf(node).word}: {oneLine(node.title, 60)}
    </option>
  ));
  return (
    <Card title="Compare two attempts">
      <div className="choices">
        {(["left", "right"] as const).map((side, index) => (
          <label key={side} className="row">
            <span className="visually-hidden">Attempt</span>
            <Side index={index} />
            <select className="input" value={side === "left" ? left : right} onChange={(event) => choose(side, event.target.value)}>
              {none}
              {options}
            </select>
          </label>
        ))}
        <button type="button" className="button" disabled={!left || !right} onClick={() => swap(right, left)}>
          Swap
        </button>
      </div>
      {left && right && left !== right ? (
        <Comparison left={left} right={right} />
      ) : (
        <Empty icon="chain" title={left && left === right ? "This is one attempt" : "Choose two attempts"}>
          <p>Their outcomes are shown beside each other, and the lines in which their changes differ.</p>
        </Empty>
      )}
    </Card>
  );
}
