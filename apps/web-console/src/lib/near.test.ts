import { expect, it } from "vitest";

import { near, type Relatives } from "./near";

interface Node {
  execution_id: string;
  parent_execution_id: string | null;
  started_at: string;
}
const node = (execution_id: string, parent_execution_id: string | null): Node => ({ execution_id, parent_execution_id, started_at: execution_id });
const family = (more: Partial<Relatives<Node>>): Relatives<Node> => ({
  execution: node("own", "father"),
  ancestors: [node("root", null), node("father", "root")],
  siblings: [node("sister", "father")],
  descendants: [node("a", "own"), node("b", "own"), node("a1", "a"), node("a2", "a")],
  truncated: { ancestors: false, descendants: false, siblings: false },
  ...more,
});
const shown = (found: ReturnType<typeof near>): unknown => [found.nodes.map((each) => each.execution_id).join(" "), [...found.open].sort().join(" "), found.top];

it("asks for no more children where all are known", () => {
  const found = near(family({}), 200);
  expect(shown(found)).toEqual(["own root father a b a1 a2 sister", "root sister", null]);
  expect(Object.fromEntries(found.drawn)).toEqual({ root: 1, father: 2, own: 2, a: 2 });
});

it("asks from the parent of the last on when the server sent only a part", () => {
  expect(shown(near(family({ truncated: { ancestors: true, descendants: true, siblings: true } }), 200))).toEqual(["own root father a b a1 a2 sister", "a a1 a2 b father root sister", "root"]);
  expect(shown(near(family({ descendants: [], truncated: { ancestors: false, descendants: true, siblings: false } }), 200))).toEqual(["own root father sister", "own root sister", null]);
});

it("counts what came and is not drawn as missing", () => {
  expect(shown(near(family({}), 5))).toEqual(["own root father a b", "a b father own root", null]);
  expect(shown(near(family({}), 3))).toEqual(["own father a", "a father own", "father"]);
});
