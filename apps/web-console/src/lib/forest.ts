/** Executions as a forest, and where its nodes are drawn. */

import { hierarchy, tree } from "d3-hierarchy";

export interface Node {
  readonly execution_id: string;
  readonly parent_execution_id: string | null;
  readonly started_at: string;
}

export interface Tree<T extends Node> {
  readonly node: T;
  readonly children: Tree<T>[];
}

const before = (a: Node, b: Node): number =>
  a.started_at < b.started_at ? -1 : a.started_at > b.started_at ? 1 : a.execution_id < b.execution_id ? -1 : a.execution_id > b.execution_id ? 1 : 0;

/**
 * The trees of these nodes, each node once. A parent that is not among them makes a root; so does one node of a
 * cycle (rows written behind the store may form one).
 */
export function forest<T extends Node>(nodes: readonly T[]): Tree<T>[] {
  const byId = new Map(nodes.map((node) => [node.execution_id, { node, children: [] as Tree<T>[] }]));
  const roots: Tree<T>[] = [];
  for (const item of byId.values()) {
    const parent = item.node.parent_execution_id === null ? undefined : byId.get(item.node.parent_execution_id);
    if (parent && parent !== item) parent.children.push(item);
    else roots.push(item);
  }
  const order = (a: Tree<T>, b: Tree<T>): number => before(a.node, b.node);
  for (const item of byId.values()) item.children.sort(order);
  // What no root reaches lies on or under a cycle: its earliest node becomes the root.
  const reached = new Set<Tree<T>>();
  const walk = (start: Tree<T>): void => {
    const waiting = [start];
    for (let item = waiting.pop(); item; item = waiting.pop()) {
      if (reached.has(item)) continue;
      reached.add(item);
      waiting.push(...item.children);
    }
  };
  roots.forEach(walk);
  if (reached.size < byId.size) {
    for (const item of [...byId.values()].sort(order)) {
      if (reached.has(item)) continue;
      const holder = item.node.parent_execution_id === null ? undefined : byId.get(item.node.parent_execution_id);
      holder?.children.splice(holder.children.indexOf(item), 1);
      roots.push(item);
      walk(item);
    }
  }
  return roots.sort(order);
}

export interface Row<T extends Node> {
  readonly item: Tree<T>;
  readonly level: number;
  readonly last: boolean;
  /** For every level above: whether a line goes on past this row. */
  readonly lines: readonly boolean[];
}

/** The rows of a tree table, top to bottom; what is under a collapsed row is left out. */
export function rows<T extends Node>(trees: readonly Tree<T>[], collapsed: ReadonlySet<string> = new Set()): Row<T>[] {
  const result: Row<T>[] = [];
  const waiting: Row<T>[] = trees.map((item, index) => ({ item, level: 0, last: index === trees.length - 1, lines: [] })).reverse();
  for (let row = waiting.pop(); row; row = waiting.pop()) {
    result.push(row);
    if (collapsed.has(row.item.node.execution_id)) continue;
    const { children } = row.item;
    // Very deep chains: the lines of the nearest levels are all that fits on a screen.
    const lines = row.level === 0 ? [] : [...row.lines.slice(-24), !row.last];
    for (let index = children.length - 1; index >= 0; index -= 1) {
      const child = children[index];
      if (child) waiting.push({ item: child, level: row.level + 1, last: index === children.length - 1, lines });
    }
  }
  return result;
}

export interface Placed<T extends Node> {
  readonly node: T;
  readonly x: number;
  readonly y: number;
  readonly parent: Placed<T> | null;
}

export interface Layout<T extends Node> {
  readonly nodes: readonly Placed<T>[];
  readonly width: number;
  readonly height: number;
}

/** Left to right, a column per generation; `size` is the room one node takes. */
export function layout<T extends Node>(trees: readonly Tree<T>[], size: { width: number; height: number }): Layout<T> {
  const root = hierarchy<Tree<T> | null>(null, (item) => (item === null ? [...trees] : item.children));
  const placed = tree<Tree<T> | null>().nodeSize([size.height, size.width]).separation(() => 1)(root);
  const known = new Map<unknown, Placed<T>>();
  const nodes: Placed<T>[] = [];
  let top = Infinity;
  let bottom = -Infinity;
  placed.each((point) => {
    if (point.data === null) return;
    top = Math.min(top, point.x);
    bottom = Math.max(bottom, point.x);
  });
  let right = 0;
  placed.each((point) => {
    if (point.data === null) return;
    const at: Placed<T> = {
      node: point.data.node,
      x: (point.depth - 1) * size.width,
      y: point.x - top,
      parent: (point.parent && known.get(point.parent)) ?? null,
    };
    known.set(point, at);
    nodes.push(at);
    right = Math.max(right, at.x + size.width);
  });
  return nodes.length === 0 ? { nodes, width: 0, height: 0 } : { nodes, width: right, height: bottom - top + size.height };
}
