import { expect, it } from "vitest";

import { fileRows, fileTree, matching, type Touched } from "./files";

const file = (path: string, lines_added: number | null = 1, lines_removed: number | null = 0): Touched => ({ path, lines_added, lines_removed });
const FILES = [file("README.md", 3), file("src/app/models/user.py", 5, 2), file("src/app/models/__init__.py"), file("src/app/views.py", null, null), file("docs/a/b/c.md")];
const drawn = (folded: string[] = []): string[] =>
  fileRows(fileTree(FILES), new Set(folded)).map(({ entry, level, parent }) => `${"  ".repeat(level)}${entry.name} ${entry.files} +${entry.added} -${entry.removed} ^${parent}`);

it("joins folders that hold one folder, sums up, and puts folders first", () => {
  expect(drawn()).toEqual([
    "docs/a/b 1 +1 -0 ^-1",
    "  c.md 1 +1 -0 ^0",
    "src/app 3 +6 -2 ^-1",
    "  models 2 +6 -2 ^2",
    "    __init__.py 1 +1 -0 ^3",
    "    user.py 1 +5 -2 ^3",
    "  views.py 1 +0 -0 ^2",
    "README.md 1 +3 -0 ^-1",
  ]);
});

it("leaves out what is folded", () => {
  expect(drawn(["src/app/models/", "docs/a/b/"])).toEqual(["docs/a/b 1 +1 -0 ^-1", "src/app 3 +6 -2 ^-1", "  models 2 +6 -2 ^1", "  views.py 1 +0 -0 ^1", "README.md 1 +3 -0 ^-1"]);
});

it("finds words of a path in any case and order", () => {
  const found = (sought: string): string[] => matching(FILES, sought).map((each) => each.path);
  expect(found("USER models")).toEqual(["src/app/models/user.py"]);
  expect(found("  ")).toHaveLength(5);
  expect(found("nothing")).toEqual([]);
});

it("takes paths of any kind", () => {
  const deep = `${"d/".repeat(2_000)}file`;
  expect(fileRows(fileTree([file(deep), file("__proto__/x"), file("constructor")]), new Set()).map((row) => row.entry.path.length)).toEqual([10, 11, 4_000, 4_004, 11]);
});
