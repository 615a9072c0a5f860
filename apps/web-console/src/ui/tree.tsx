/** The rows of a tree of executions, drawn as far as they are seen and walked with the arrow keys. */

import type { JSX, KeyboardEvent, ReactNode } from "react";
import { Link } from "react-router";

import type { Summary } from "../api/types";
import type { Row } from "../lib/forest";
import { words } from "../lib/status";
import { oneLine } from "../lib/text";
import { ordinal } from "../lib/time";
import { Icon } from "./icon";
import { Id, Status } from "./kit";

export function Guides({ row }: { row: Row<Summary> }): JSX.Element {
  const lines = row.lines.slice(-12);
  return (
    <span className="guides" aria-hidden="true">
      {lines.map((goesOn, index) => (
        <span key={index} className="guide" data-line={goesOn} />
      ))}
      {row.level > 0 && <span className={row.last ? "guide elbow last" : "guide elbow"} />}
    </span>
  );
}

export function TreeRow({ row, current, collapsed, toggle, more }: { row: Row<Summary>; current: string | null; collapsed: ReadonlySet<string>; toggle: (id: string) => void; more?: ReactNode }): JSX.Element {
  const { node, children } = row.item;
  const attempt = node.attempt;
  const open = !collapsed.has(node.execution_id);
  return (
    <div className="tree-row" data-current={node.execution_id === current}>
      <Guides row={row} />
      {children.length > 0 ? (
        <button type="button" className="twist" tabIndex={-1} aria-expanded={open} aria-label={open ? "fold" : "unfold"} onClick={() => toggle(node.execution_id)}>
          <Icon name="down" size={12} />
        </button>
      ) : (
        <span className="twist" />
      )}
      <Status of={node} brief />
      {row.level > 0 && <span className="dim">{words(node.trigger_kind)}</span>}
      <Link className="cut grow" tabIndex={-1} dir="auto" to={`/executions/${encodeURIComponent(node.execution_id)}`} {...(node.execution_id === current ? { "aria-current": "true" as const } : {})}>
        {oneLine(node.title, 120) || <Id id={node.execution_id} />}
      </Link>
      {attempt > 1 && <span className="dim num">{ordinal(attempt)}</span>}
      {!open && <span className="dim num">…</span>}
      {more}
    </div>
  );
}

/** Moves in a tree: up and down between rows, left folds or goes to the parent, right unfolds. */
export function treeKeys(
  rows: readonly Row<Summary>[],
  at: number,
  acts: { go: (index: number) => void; toggle: (id: string) => void; open: (id: string) => void; collapsed: ReadonlySet<string> },
): (event: KeyboardEvent) => void {
  return (event) => {
    const row = rows[at];
    if (!row) return;
    const { node, children } = row.item;
    const folded = acts.collapsed.has(node.execution_id);
    switch (event.key) {
      case "ArrowDown":
        acts.go(Math.min(rows.length - 1, at + 1));
        break;
      case "ArrowUp":
        acts.go(Math.max(0, at - 1));
        break;
      case "Home":
        acts.go(0);
        break;
      case "End":
        acts.go(rows.length - 1);
        break;
      case "ArrowRight":
        if (children.length > 0 && folded) acts.toggle(node.execution_id);
        else if (children.length > 0) acts.go(Math.min(rows.length - 1, at + 1));
        break;
      case "ArrowLeft":
        if (children.length > 0 && !folded) acts.toggle(node.execution_id);
        else acts.go(Math.max(0, rows.findIndex((each) => each.item.node.execution_id === node.parent_execution_id)));
        break;
      case "Enter":
        acts.open(node.execution_id);
        break;
      default:
        return;
    }
    event.preventDefault();
  };
}
