import { Fragment, useEffect, useMemo, useRef, useState, type JSX } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";

import { useChildCount, useLineage } from "../api/queries";
import type { Lineage, Summary } from "../api/types";
import { forest, layout, rows } from "../lib/forest";
import { near } from "../lib/near";
import { words } from "../lib/status";
import { oneLine, plain } from "../lib/text";
import { plural } from "../lib/time";
import { Awaited, Card, Status } from "../ui/kit";
import { TreeRow, treeKeys } from "../ui/tree";

/** So many are drawn, and so many more each time they are asked for: no screen holds them anyway. */
const FOCUS = 200;
const MOST = 2_000;
const CELL = { width: 292, height: 68 };
const BOX = { width: 196, height: 52 };

export function LineageTab({ id }: { id: string }): JSX.Element {
  const [params] = useSearchParams();
  const given = Number(params.get("near"));
  const most = Number.isInteger(given) && given > FOCUS && given <= MOST ? given : FOCUS;
  return (
    <Awaited answer={useLineage(id, most)} rows={6}>
      {(lineage) => <Shown lineage={lineage} most={most} />}
    </Awaited>
  );
}

function Shown({ lineage, most }: { lineage: Lineage; most: number }): JSX.Element {
  const found = useMemo(() => near(lineage, most), [lineage, most]);
  const own = lineage.execution.execution_id;
  const trees = useMemo(() => forest(found.nodes), [found]);
  const chain = `/chains/${encodeURIComponent(lineage.execution.correlation_id)}`;
  const more = (id: string): JSX.Element | null =>
    found.open.has(id) ? <Stub id={id} drawn={found.drawn.get(id) ?? 0} expands={id === own || id === lineage.execution.parent_execution_id ? most : null} /> : null;
  const { truncated } = lineage;
  const cut = truncated.ancestors || truncated.descendants || truncated.siblings || found.nodes.length >= most;
  return (
    <div className="stack">
      {cut && (
        <p className="note">
          <span className="grow">The nearest {plural(found.nodes.length, "relative")} are drawn; “+ more” leads to the others.</span>
          <Link className="button small" to={chain}>
            Open the whole chain
          </Link>
        </p>
      )}
      <div className="split">
        <Card title="Tree" side={<span className="dim num">{plural(found.nodes.length, "execution")}</span>}>
          <TreeTable nodes={found.nodes} current={own} more={more} />
        </Card>
        <Card title="Graph" side={<Link className="link" to={chain}>Chain</Link>}>
          <Graph trees={trees} current={own} top={found.top} more={more} />
        </Card>
      </div>
    </div>
  );
}

/**
 * "+12 more": children that are not drawn. Of the execution in the middle and its parent they are drawn, of another one
 * its own surroundings open. How many there are is asked for when it comes into view.
 */
function Stub({ id, drawn, expands }: { id: string; drawn: number; expands: number | null }): JSX.Element {
  const [params] = useSearchParams();
  const [seen, setSeen] = useState(false);
  const place = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const watch = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  const { data } = useChildCount(id, seen);
  const missing = (data?.count ?? 0) - drawn;
  const wider = new URLSearchParams(params);
  wider.set("near", String((expands ?? 0) + FOCUS));
  const to =
    expands === null
      ? `/executions/${encodeURIComponent(id)}?tab=lineage`
      : expands + FOCUS <= MOST
        ? `?${wider.toString()}`
        : `/executions?view=all&parent_execution_id=${encodeURIComponent(id)}`;
  const text = `+${missing.toLocaleString("en")}${data?.atLeast ? " or more" : ""}`;
  return (
    <span ref={place} className="stub-place">
      {missing > 0 && (
        <Link className="stub num" to={to} aria-label={`${text} more children`} title={expands === null ? "Children that are not drawn: look at them from there" : "Children that are not drawn: draw more"}>
          {text}
          {data?.atLeast ? "" : " more"}
        </Link>
      )}
    </span>
  );
}

function TreeTable({ nodes, current, more }: { nodes: readonly Summary[]; current: string; more: (id: string) => JSX.Element | null }): JSX.Element {
  const navigate = useNavigate();
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const shown = useMemo(() => rows(forest(nodes), collapsed), [nodes, collapsed]);
  const [focused, setFocused] = useState(current);
  const box = useRef<HTMLDivElement>(null);
  const moved = useRef(false);
  const at = Math.max(0, shown.findIndex((row) => row.item.node.execution_id === focused));
  const toggle = (id: string): void =>
    setCollapsed((known) => {
      const next = new Set(known);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  useEffect(() => {
    if (moved.current) box.current?.querySelector<HTMLElement>("[role=treeitem][tabindex='0']")?.focus();
    moved.current = false;
  }, [focused, collapsed]);
  const keys = treeKeys(shown, at, {
    go: (index) => {
      moved.current = true;
      setFocused(shown[index]?.item.node.execution_id ?? current);
    },
    toggle: (id) => {
      moved.current = true;
      toggle(id);
    },
    open: (id) => void navigate(`/executions/${encodeURIComponent(id)}?tab=lineage`),
    collapsed,
  });
  return (
    <div className="treeview" role="tree" aria-label="Relatives" ref={box} onKeyDown={keys}>
      {shown.map((row, index) => (
        <div
          key={row.item.node.execution_id}
          role="treeitem"
          aria-level={row.level + 1}
          aria-selected={row.item.node.execution_id === current}
          {...(row.item.children.length > 0 ? { "aria-expanded": !collapsed.has(row.item.node.execution_id) } : {})}
          tabIndex={index === at ? 0 : -1}
          onFocus={(event) => {
            if (event.target === event.currentTarget) setFocused(row.item.node.execution_id);
          }}
        >
          <TreeRow row={row} current={current} collapsed={collapsed} toggle={toggle} more={more(row.item.node.execution_id)} />
        </div>
      ))}
    </div>
  );
}

/** Draws what is near the visible part; the rest is drawn when it is scrolled to. */
function Graph({ trees, current, top, more }: { trees: ReturnType<typeof forest<Summary>>; current: string; top: string | null; more: (id: string) => JSX.Element | null }): JSX.Element {
  const placed = useMemo(() => layout(trees, CELL), [trees]);
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ left: 0, top: 0, width: 1200, height: 800 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = (): void => setSeen({ left: element.scrollLeft, top: element.scrollTop, width: element.clientWidth, height: element.clientHeight });
    const own = placed.nodes.find((each) => each.node.execution_id === current);
    // With its parent, where both fit; what comes below it follows to the right.
    const left = own?.parent && CELL.width + BOX.width + 48 <= element.clientWidth ? own.parent.x + (top === null ? 0 : 96) : (own?.x ?? 0) - element.clientWidth / 2 + BOX.width;
    if (own) element.scrollTo({ left, top: own.y - element.clientHeight / 2 + BOX.height });
    look();
    element.addEventListener("scroll", look, { passive: true });
    return () => element.removeEventListener("scroll", look);
  }, [placed, current, top]);
  const near = (x: number, y: number): boolean =>
    x > seen.left - 600 && x < seen.left + seen.width + 600 && y > seen.top - 400 && y < seen.top + seen.height + 400;
  const visible = placed.nodes.filter((each) => near(each.x, each.y) || (each.parent !== null && near(each.parent.x, each.parent.y)));
  const margin = 16;
  // Room for what leads further up.
  const shift = top === null ? 0 : 96;
  return (
    <div className="graph" ref={box} tabIndex={0} role="group" aria-label="Graph of the relatives; the tree beside it holds the same">
      <div style={{ position: "relative", width: placed.width + margin + shift, height: placed.height + 2 * margin }}>
        <svg width={placed.width + margin + shift} height={placed.height + 2 * margin} aria-hidden="true" style={{ position: "absolute", maxWidth: "100%" }}>
          {visible.map((each) => {
            if (each.parent === null) return null;
            const from = { x: each.parent.x + BOX.width + margin + shift, y: each.parent.y + BOX.height / 2 + margin };
            const to = { x: each.x + margin + shift, y: each.y + BOX.height / 2 + margin };
            const half = (from.x + to.x) / 2;
            return <path key={each.node.execution_id} className="edge" d={`M${from.x} ${from.y}C${half} ${from.y} ${half} ${to.y} ${to.x} ${to.y}`} />;
          })}
        </svg>
        {visible.map((each) => (
          <Link
            key={each.node.execution_id}
            className="node"
            data-current={each.node.execution_id === current}
            to={`/executions/${encodeURIComponent(each.node.execution_id)}?tab=lineage`}
            title={plain(each.node.execution_id)}
            tabIndex={-1}
            style={{ left: each.x + margin + shift, top: each.y + margin }}
          >
            <span className="cut" dir="auto">{oneLine(each.node.title, 80) || each.node.execution_id}</span>
            <span className="row">
              <Status of={each.node} />
              <span className="dim cut">{each.parent ? words(each.node.trigger_kind) : ""}</span>
            </span>
          </Link>
        ))}
        {visible.map((each) => {
          const id = each.node.execution_id;
          const stub = more(id);
          return (
            <Fragment key={id}>
              {stub && (
                <span className="stub-right" style={{ left: each.x + margin + shift + BOX.width + 6, top: each.y + margin + BOX.height / 2 - 10 }}>
                  {stub}
                </span>
              )}
              {id === top && (
                <Link className="stub num" tabIndex={-1} to={`/executions/${encodeURIComponent(id)}?tab=lineage`} title="Ancestors that are not drawn: look at them from there" style={{ position: "absolute", left: margin, top: each.y + margin + BOX.height / 2 - 10 }}>
                  + earlier
                </Link>
              )}
            </Fragment>
          );
        })}
      </div>
    </div>
  );
}
