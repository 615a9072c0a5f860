/** Attempts at the same thing: executions connected by retry and repair edges. */

import { ended } from "./status";
import type { Node } from "./forest";

export interface Attempt extends Node {
  readonly status: string;
  readonly verdict: string;
  readonly trigger_kind: string;
}

export interface Attempts<T extends Attempt> {
  /** Earliest first; the first one is what was tried again. */
  readonly members: readonly T[];
  readonly outcome: "completed" | "fixed" | "open" | "running";
  /** The first that completed after one that did not. */
  readonly fixedBy: T | null;
}

const AGAIN = new Set(["retry", "repair"]);

/** The groups of attempts, by the start of their first member. Reverts are judged by the server (`unresolved`). */
export function attempts<T extends Attempt>(nodes: readonly T[]): Attempts<T>[] {
  const byId = new Map(nodes.map((node) => [node.execution_id, node]));
  const heads = new Map<string, string>();
  const headOf = (node: T): string => {
    const way: string[] = [];
    let at: T | undefined = node;
    let head = node.execution_id;
    while (at && !way.includes(at.execution_id)) {
      const known = heads.get(at.execution_id);
      if (known !== undefined) {
        head = known;
        break;
      }
      way.push(at.execution_id);
      head = at.execution_id;
      const parent: T | undefined = AGAIN.has(at.trigger_kind) && at.parent_execution_id !== null ? byId.get(at.parent_execution_id) : undefined;
      at = parent;
    }
    way.forEach((id) => heads.set(id, head));
    return head;
  };
  const groups = new Map<string, T[]>();
  for (const node of nodes) {
    const head = headOf(node);
    const group = groups.get(head);
    if (group) group.push(node);
    else groups.set(head, [node]);
  }
  return [...groups.values()].map((members) => {
    members.sort((a, b) => (a.started_at < b.started_at ? -1 : a.started_at > b.started_at ? 1 : a.execution_id < b.execution_id ? -1 : 1));
    const bad = members.findIndex((each) => each.status === "failed" || each.status === "rolled_back");
    const fixedBy = bad < 0 ? null : (members.slice(bad + 1).find((each) => each.status === "completed") ?? null);
    const outcome = fixedBy ? "fixed" : members.some((each) => !ended(each)) ? "running" : bad >= 0 ? "open" : "completed";
    return { members, outcome, fixedBy };
  });
}
