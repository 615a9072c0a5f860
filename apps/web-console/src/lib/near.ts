/** Which relatives of an execution are drawn, and which of those may have more that are not. */

import type { Node } from "./forest";

export interface Relatives<T extends Node> {
  readonly execution: T;
  /** Topmost first. */
  readonly ancestors: readonly T[];
  /** Breadth first. */
  readonly descendants: readonly T[];
  readonly siblings: readonly T[];
  readonly truncated: { readonly ancestors: boolean; readonly descendants: boolean; readonly siblings: boolean };
}

export interface Near<T extends Node> {
  readonly nodes: readonly T[];
  /** Of these more children may exist than are drawn; the server knows how many. */
  readonly open: ReadonlySet<string>;
  /** How many children of each are drawn. */
  readonly drawn: ReadonlyMap<string, number>;
  /** The topmost one that is drawn, when it has ancestors of its own. */
  readonly top: string | null;
}

/** The nearest: of the ancestors a half at most, then descendants, then siblings. */
export function near<T extends Node>(lineage: Relatives<T>, most: number): Near<T> {
  const { execution, descendants, siblings, truncated } = lineage;
  const ancestors = lineage.ancestors.slice(-Math.floor(most / 2));
  const known = new Map([execution, ...ancestors, ...descendants, ...siblings].slice(0, most).map((node) => [node.execution_id, node]));
  const nodes = [...known.values()];
  const drawn = new Map<string, number>();
  for (const { parent_execution_id: parent } of nodes) if (parent !== null) drawn.set(parent, (drawn.get(parent) ?? 0) + 1);
  const open = new Set<string>();
  const parent = ancestors.at(-1);
  // The family above is known along one line only: what else an ancestor or a sibling caused was not asked for.
  for (const each of ancestors) if (each !== parent) open.add(each.execution_id);
  for (const each of siblings) open.add(each.execution_id);
  if (parent && (truncated.siblings || siblings.some((each) => !known.has(each.execution_id)))) open.add(parent.execution_id);
  // Breadth first: before the parent of the last one that came, all children of all are there.
  const line = [execution, ...descendants];
  const shown = descendants.filter((each) => known.has(each.execution_id));
  if (truncated.descendants || shown.length < descendants.length) {
    const last = shown.at(-1);
    const from = last ? line.findIndex((each) => each.execution_id === last.parent_execution_id) : 0;
    for (const each of line.slice(Math.max(0, from))) open.add(each.execution_id);
  }
  const first = ancestors[0];
  const cut = truncated.ancestors || ancestors.length < lineage.ancestors.length;
  return { nodes, open: new Set([...open].filter((id) => known.has(id))), drawn, top: cut && first ? first.execution_id : null };
}
