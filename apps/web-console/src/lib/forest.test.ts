import { describe, expect, it } from "vitest";

import { forest, layout, rows, type Node } from "./forest";

const node = (id: string, parent: string | null = null, at = id): Node => ({ execution_id: id, parent_execution_id: parent, started_at: at });
const shape = (nodes: Node[]): string[] => rows(forest(nodes)).map((row) => `${"-".repeat(row.level)}${row.item.node.execution_id}`);

/** Random parents among the earlier nodes, from a fixed seed. */
function random(count: number, seed = 7): Node[] {
  let state = seed;
  const next = (): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
  return Array.from({ length: count }, (_, index) =>
    node(`n${String(index).padStart(6, "0")}`, index === 0 || next() < 0.02 ? null : `n${String(Math.floor(next() * index)).padStart(6, "0")}`),
  );
}

describe("a forest", () => {
  it("has children under their parent, earliest first", () => {
    expect(shape([node("c", "a"), node("b", "a"), node("a"), node("d", "b"), node("e")])).toEqual(["a", "-b", "--d", "-c", "e"]);
  });

  it("makes roots of nodes whose parent is elsewhere", () => {
    expect(shape([node("b", "gone"), node("a", "gone")])).toEqual(["a", "b"]);
  });

  it.each([
    [[node("a", "a")], ["a"]],
    [[node("a", "b"), node("b", "a")], ["a", "-b"]],
    [[node("a", "c"), node("b", "a"), node("c", "b"), node("d", "c"), node("r")], ["a", "-b", "--c", "---d", "r"]],
  ])("shows each node of a cycle once", (nodes, expected) => {
    expect(shape(nodes)).toEqual(expected);
  });

  it("leaves out what is under a collapsed row", () => {
    const trees = forest([node("a"), node("b", "a"), node("c", "b"), node("d", "a")]);
    expect(rows(trees, new Set(["b"])).map((row) => row.item.node.execution_id)).toEqual(["a", "b", "d"]);
  });

  it("holds a chain of 20,000 without running out of stack", () => {
    const chain = Array.from({ length: 20_000 }, (_, index) => node(String(index).padStart(6, "0"), index ? String(index - 1).padStart(6, "0") : null));
    expect(rows(forest(chain))).toHaveLength(20_000);
  });
});

describe("a layout", () => {
  it("puts nothing on top of anything and every child right of its parent", () => {
    const nodes = random(1_000);
    const { nodes: placed, width, height } = layout(forest(nodes), { width: 200, height: 40 });
    expect(placed).toHaveLength(1_000);
    const columns = new Map<number, number[]>();
    for (const point of placed) {
      expect(point.parent ? point.x - point.parent.x : 200).toBe(200);
      expect(point.x >= 0 && point.x + 200 <= width && point.y >= 0 && point.y + 40 <= height + 1e-6).toBe(true);
      columns.set(point.x, [...(columns.get(point.x) ?? []), point.y]);
    }
    for (const heights of columns.values()) {
      const sorted = heights.sort((a, b) => a - b);
      sorted.slice(1).forEach((y, index) => expect(y - (sorted[index] ?? 0)).toBeGreaterThanOrEqual(40 - 1e-6));
    }
  });

  it("lays nothing out as nothing", () => {
    expect(layout(forest([]), { width: 10, height: 10 })).toEqual({ nodes: [], width: 0, height: 0 });
  });
});
