/** A git diff as files, hunks and lines that can be shown. */

import { parseDiff, type ChangeData, type FileData } from "react-diff-view";

import { plain } from "./text";

const LINE = 2_000;

export interface Patch {
  readonly file: FileData;
  readonly lines: number;
}

function fit(change: ChangeData): ChangeData {
  const shown = plain(change.content.slice(0, LINE));
  return { ...change, content: change.content.length > LINE ? `${shown} … ${change.content.length - LINE} more characters` : shown };
}

/** The files of a diff by their path; a deleted file by the path it had. */
export function patches(diff: string): ReadonlyMap<string, Patch> {
  if (!diff.trim()) return new Map();
  return new Map(
    parseDiff(diff, { nearbySequences: "zip" }).map((file) => {
      const hunks = file.hunks.map((hunk) => ({ ...hunk, changes: hunk.changes.map(fit) }));
      const path = file.type === "delete" ? file.oldPath : file.newPath;
      return [path, { file: { ...file, hunks }, lines: hunks.reduce((sum, hunk) => sum + hunk.changes.length, 0) }];
    }),
  );
}
