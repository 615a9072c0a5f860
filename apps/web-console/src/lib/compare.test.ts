import { describe, expect, it } from "vitest";

import type { ChangedFile, Diff } from "../api/types";
import { compare, folded, pairs, type PatchLine } from "./compare";

const file = (path: string, sha: string, operation = "update"): ChangedFile => ({ path, operation, old_sha256: "0", new_sha256: sha, lines_added: 1, lines_removed: 1 });
const change = (files: ChangedFile[], diff: string): Diff => ({ execution_id: "e", changeset_id: "c", checksum: "s", files, diff });
const patch = (path: string, ...lines: string[]): string =>
  `diff --git a/${path} b/${path}\n--- a/${path}\n+++ b/${path}\n@@ -1,${lines.filter((line) => line[0] !== "+").length} +1,${lines.filter((line) => line[0] !== "-").length} @@\n${lines.join("\n")}\n`;
const lines = (...texts: string[]): PatchLine[] => texts.map((text, index) => ({ sign: text.charAt(0) as PatchLine["sign"], text: text.slice(1), number: index + 1 }));
const shown = (found: ReturnType<typeof pairs>): string[] =>
  found.map(({ left, right, differs }) => `${left ? left.sign + left.text : ""}|${right ? right.sign + right.text : ""}${differs ? "!" : ""}`);

describe("two changes of one file", () => {
  it.each<[string, PatchLine[], PatchLine[], string[]]>([
    ["the same lines", lines(" a", "-b", "+c"), lines(" a", "-b", "+c"), [" a| a", "-b|-b", "+c|+c"]],
    ["another line added", lines(" a", "-b", "+c"), lines(" a", "-b", "+d"), [" a| a", "-b|-b", "+c|+d!"]],
    ["one line more", lines("-b", "+c"), lines("-b", "+c", "+d"), ["-b|-b", "+c|+c", "|+d!"]],
    ["more shown around it is no difference", lines("-b", "+c"), lines(" a", "-b", "+c"), ["| a", "-b|-b", "+c|+c"]],
    ["a line that only one of them takes away", lines(" a", "+b"), lines("-a", "+b"), [" a|-a!", "+b|+b"]],
    ["nothing on one side", lines(), lines("+a"), ["|+a!"]],
  ])("%s", (_, left, right, expected) => {
    expect(shown(pairs(left, right))).toEqual(expected);
  });

  it("is no work for ever, whatever they hold", () => {
    const many = (word: string): PatchLine[] => Array.from({ length: 20_000 }, (_, index) => ({ sign: "+", text: `${word}${index * 7919 % 20_011}`, number: index }));
    const found = pairs(many("a"), many("b"));
    expect(found).toHaveLength(20_000);
    expect(found.every((pair) => pair.differs)).toBe(true);
  });
});

it("says of every path what the two made of it", () => {
  const left = change([file("same", "1"), file("other", "2"), file("gone", "3", "delete")], patch("same", "-a", "+b") + patch("other", "-a", "+b", "+c") + "diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n");
  const right = change([file("same", "1"), file("other", "9"), file("new", "4", "create")], patch("same", "-a", "+b") + patch("other", "-a", "+b", "+d") + "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+y\n");
  expect(compare(left, right).map((each) => [each.path, each.kind, each.differing, shown([...each.pairs]).join(" ")])).toEqual([
    ["gone", "left", 1, "-x|!"],
    ["new", "right", 1, "|+y!"],
    ["other", "differs", 1, "-a|-a +b|+b +c|+d!"],
    ["same", "same", 0, ""],
  ]);
});

it("leaves out what does not differ, but no single line", () => {
  const row = (differs: boolean): ReturnType<typeof pairs>[number] => ({ left: null, right: null, differs });
  const at = (length: number, ...differing: number[]): [number, number][] =>
    folded(Array.from({ length }, (_, index) => row(differing.includes(index))), 1).map((each) => [each.rows.length, each.hidden]);
  expect(at(10, 5)).toEqual([[0, 4], [3, 0], [0, 3]]);
  expect(at(7, 1, 5)).toEqual([[3, 0], [1, 0], [3, 0]]);
  expect(at(3)).toEqual([[0, 3]]);
  expect(at(0)).toEqual([]);
});
