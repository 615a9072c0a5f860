import { useMemo, useState, useRef, useEffect, type JSX } from "react";
import { Link, useNavigate } from "react-router";

import { useLineage } from "../api/queries";
import type { Lineage, Summary } from "../api/types";
import { forest, layout, rows } from "../lib/forest";
import { words } from "../lib/status";
import { oneLine, plain } from "../lib/text";
import { plural } from "../lib/time";
import { Awaited, Card, Status } from "../ui/kit";
import { TreeRow, treeKeys } from "../ui/tree";

/** The server sends the surroundings of one execution; more than this nobody can see at once. */
const FOCUS = 200;
const CELL = { width: 258, height: 68 };
const BOX = { width: 196, height: 52 };

export function LineageTab({ id }: { id: string }): JSX.Element {
  return (
    <Awaited answer={useLineage(id, FOCUS)} rows={6}>
      {(lineage) => <Shown lineage={lineage} />}
    </Awaited>
  );
}

/** The nearest: all ancestors, then what fits of descendants and siblings. */
export function focus(lineage: Lineage): Summary[] {
  const near = [lineage.execution, ...lineage.ancestors.slice(-FOCUS / 2), ...lineage.descendants, ...lineage.siblings];
  const known = new Map(near.map((each) => [each.execution_id, each]));
  return [...known.values()].slice(0, FOCUS);
}

function Shown({ lineage }: { lineage: Lineage }): JSX.Element {
  const nodes = useMemo(() => focus(lineage), [lineage]);
  const own = lineage.execution.execution_id;
  const trees = useMemo(() => forest(nodes), [nodes]);
  const chain = `/chains/${encodeURIComponent(lineage.execution.correlation_id)}`;
  const hidden = lineage.ancestors.length + lineage.descendants.length + lineage.siblings.length + 1 - nodes.length;
  const { truncated } = lineage;
  const more = [
    ...(truncated.ancestors ? ["earlier ancestors"] : []),
    ...(truncated.descendants ? ["descendants"] : []),
    ...(truncated.siblings ? ["siblings"] : []),
    ...(hidden > 0 ? [`${hidden} loaded but not drawn`] : []),
  ];
  return (
    <div className="stack">
      {more.length > 0 && (
        <p className="note">
          <span className="grow">There are more: {more.join(", ")}.</span>
          <Link className="button small" to={chain}>
            Open the whole chain
          </Link>
        </p>
      )}
      <div className="split">
        <Card title="Tree" side={<span className="dim num">{plural(nodes.length, "execution")}</span>}>
          <TreeTable nodes={nodes} current={own} />
        </Card>
        <Card title="Graph" side={<Link className="link" to={chain}>Chain</Link>}>
          <Graph trees={trees} current={own} />
        </Card>
      </div>
    </div>
  );
}

export function TreeTable({ nodes, current }: { nodes: readonly Summary[]; current: string }): JSX.Element {
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
          <TreeRow row={row} current={current} collapsed={collapsed} toggle={toggle} />
        </div>
      ))}
    </div>
  );
}

/** Draws what is near the visible part; the rest is drawn when it is scrolled to. */
function Graph({ trees, current }: { trees: ReturnType<typeof forest<Summary>>; current: string }): JSX.Element {
  const placed = useMemo(() => layout(trees, CELL), [trees]);
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ left: 0, top: 0, width: 1200, height: 800 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = (): void => setSeen({ left: element.scrollLeft, top: element.scrollTop, width: element.clientWidth, height: element.clientHeight });
    const own = placed.nodes.find((each) => each.node.execution_id === current);
    if (own) element.scrollTo({ left: own.x - element.clientWidth / 2 + BOX.width, top: own.y - element.clientHeight / 2 + BOX.height });
    look();
    element.addEventListener("scroll", look, { passive: true });
    return () => element.removeEventListener("scroll", look);
  }, [placed, current]);
  const near = (x: number, y: number): boolean =>
    x > seen.left - 600 && x < seen.left + seen.width + 600 && y > seen.top - 400 && y < seen.top + seen.height + 400;
  const visible = placed.nodes.filter((each) => near(each.x, each.y) || (each.parent !== null && near(each.parent.x, each.parent.y)));
  const margin = 16;
  return (
    <div className="graph" ref={box} tabIndex={0} role="group" aria-label="Graph of the relatives; the tree beside it holds the same">
      <div style={{ position: "relative", width: placed.width - (CELL.width - BOX.width) + 2 * margin, height: placed.height + 2 * margin }}>
        <svg width={placed.width + 2 * margin} height={placed.height + 2 * margin} aria-hidden="true" style={{ position: "absolute", maxWidth: "100%" }}>
          {visible.map((each) => {
            if (each.parent === null) return null;
            const from = { x: each.parent.x + BOX.width + margin, y: each.parent.y + BOX.height / 2 + margin };
            const to = { x: each.x + margin, y: each.y + BOX.height / 2 + margin };
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
            style={{ left: each.x + margin, top: each.y + margin }}
          >
            <span className="cut" dir="auto">{oneLine(each.node.title, 80) || each.node.execution_id}</span>
            <span className="row">
              <Status of={each.node} />
              <span className="dim cut">{each.parent ? words(each.node.trigger_kind) : ""}</span>
            </span>
          </Link>
        ))}
      </div>
    </div>
  );
}
