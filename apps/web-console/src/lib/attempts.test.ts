import { describe, expect, it } from "vitest";

import { attempts, type Attempt } from "./attempts";

const run = (id: string, status: string, parent: string | null = null, trigger_kind = "manual"): Attempt => ({
  execution_id: id, parent_execution_id: parent, started_at: id, status, verdict: "allow", trigger_kind,
});

describe("attempts", () => {
  it.each<[string, Attempt[], [string, string, string | null][]]>([
    ["one that completed", [run("a", "completed")], [["a", "completed", null]]],
    ["one that failed", [run("a", "failed")], [["a", "open", null]]],
    ["a failure, a retry and a repair", [run("a", "rolled_back"), run("b", "rolled_back", "a", "retry"), run("c", "completed", "b", "repair")], [["abc", "fixed", "c"]]],
    ["a child is another thing", [run("a", "failed"), run("b", "completed", "a", "child")], [["a", "open", null], ["b", "completed", null]]],
    ["a retry that runs", [run("a", "failed"), run("b", "verifying", "a", "retry")], [["ab", "running", null]]],
    ["a success before the failure fixes nothing", [run("a", "completed"), run("b", "failed", "a", "retry")], [["ab", "open", null]]],
    ["a retry whose parent is elsewhere", [run("b", "completed", "gone", "retry")], [["b", "completed", null]]],
    ["rows that form a cycle", [run("a", "failed", "b", "retry"), run("b", "completed", "a", "retry")], [["ab", "fixed", "b"]]],
  ])("%s", (_, nodes, expected) => {
    const found = attempts(nodes).map((each) => [each.members.map((member) => member.execution_id).join(""), each.outcome, each.fixedBy?.execution_id ?? null]);
    expect(found).toEqual(expected);
  });
});
