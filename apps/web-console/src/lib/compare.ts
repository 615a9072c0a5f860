/** What differs between two changes: the diff of their diffs. */

import { diffArrays } from "diff";

import type { ChangedFile, Diff } from "../api/types";
import { patches, type Patch } from "./patch";

export type Sign = " " | "+" | "-";

export interface PatchLine {
  readonly sign: Sign;
  readonly text: string;
  /** In the file before the change; of an added line in the file after it. */
  readonly number: number;
}

export interface Pair {
  readonly left: PatchLine | null;
  readonly right: PatchLine | null;
  /** Whether the changes differ here. A line that only one of them shows around its change is no difference. */
  readonly differs: boolean;
}

export type Kind = "same" | "differs" | "left" | "right";

export interface ComparedFile {
  readonly path: string;
  readonly left: ChangedFile | undefined;
  readonly right: ChangedFile | undefined;
  readonly kind: Kind;
  readonly pairs: readonly Pair[];
  /** How many rows of `pairs` differ. */
  readonly differing: number;
}

const SIGNS = { insert: "+", delete: "-", normal: " " } as const;
// Two patches that have nothing in common are not searched for it for ever; they are shown one beside the other.
const PATIENCE_MS = 400;

function linesOf(patch: Patch | undefined): PatchLine[] {
  return (patch?.file.hunks ?? []).flatMap((hunk) =>
    hunk.changes.map((change) => ({
      sign: SIGNS[change.type],
      text: change.content,
      number: change.type === "normal" ? change.oldLineNumber : change.lineNumber,
    })),
  );
}

const key = (line: PatchLine): string => line.sign + line.text;

/** Equal lines stand beside each other, and between them what only one of the two has. */
export function pairs(left: readonly PatchLine[], right: readonly PatchLine[]): Pair[] {
  const result: Pair[] = [];
  const parts = diffArrays(left.map(key), right.map(key), { timeout: PATIENCE_MS }) ?? [
    { value: left.map(key), removed: true, added: false },
    { value: right.map(key), removed: false, added: true },
  ];
  let at = 0;
  let to = 0;
  let only: { left: readonly PatchLine[]; right: readonly PatchLine[] } = { left: [], right: [] };
  const close = (): void => {
    for (let index = 0; index < Math.max(only.left.length, only.right.length); index += 1) {
      const pair = { left: only.left[index] ?? null, right: only.right[index] ?? null };
      result.push({ ...pair, differs: [pair.left, pair.right].some((line) => line !== null && line.sign !== " ") });
    }
    only = { left: [], right: [] };
  };
  for (const part of parts) {
    const { length } = part.value;
    if (part.removed) only = { ...only, left: [...only.left, ...left.slice(at, at + length)] };
    else if (part.added) only = { ...only, right: [...only.right, ...right.slice(to, to + length)] };
    else {
      close();
      for (let index = 0; index < length; index += 1) {
        result.push({ left: left[at + index] ?? null, right: right[to + index] ?? null, differs: false });
      }
    }
    if (!part.added) at += length;
    if (!part.removed) to += length;
  }
  close();
  return result;
}

function kindOf(left: ChangedFile | undefined, right: ChangedFile | undefined): Kind {
  if (!right) return "left";
  if (!left) return "right";
  return left.operation === right.operation && left.new_sha256 === right.new_sha256 ? "same" : "differs";
}

/** Every path that one of the two changes touches, in order. */
export function compare(left: Diff, right: Diff): ComparedFile[] {
  const diffs = [patches(left.diff), patches(right.diff)] as const;
  const files = [left, right].map((each) => new Map(each.files.map((file) => [file.path, file])));
  const paths = [...new Set([...left.files, ...right.files].map((file) => file.path))].sort();
  return paths.map((path) => {
    const [one, other] = [files[0]?.get(path), files[1]?.get(path)];
    const kind = kindOf(one, other);
    const rows = kind === "same" ? [] : pairs(linesOf(diffs[0].get(path)), linesOf(diffs[1].get(path)));
    return { path, left: one, right: other, kind, pairs: rows, differing: rows.filter((row) => row.differs).length };
  });
}

export interface Stretch {
  /** Rows to show, or how many rows in which nothing differs are left out. */
  readonly rows: readonly Pair[];
  readonly hidden: number;
}

/** The rows that differ, and a few around each of them. */
export function folded(rows: readonly Pair[], around = 3): Stretch[] {
  const near = rows.map(() => false);
  rows.forEach((row, index) => {
    if (row.differs) near.fill(true, Math.max(0, index - around), index + around + 1);
  });
  const result: Stretch[] = [];
  let begin = 0;
  for (let index = 1; index <= rows.length; index += 1) {
    if (index < rows.length && near[index] === near[begin]) continue;
    const stretch = rows.slice(begin, index);
    // To leave out one line takes as much room as the line.
    result.push(near[begin] || stretch.length === 1 ? { rows: stretch, hidden: 0 } : { rows: [], hidden: stretch.length });
    begin = index;
  }
  return rows.length === 0 ? [] : result;
}
