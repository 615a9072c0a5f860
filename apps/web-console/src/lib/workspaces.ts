/** What workspaces are called. */

import type { Workspace } from "../api/types";
import { oneLine } from "./text";

const SCRATCH = /\/scratch\/([^/]+)\/[^/]+$/;

/** What runs inside a captured command runs in a copy, which is a workspace of its own for as long as it lasts. */
export function isScratch(workspace: Pick<Workspace, "path"> | undefined): boolean {
  return SCRATCH.test(workspace?.path ?? "");
}

/** The last folder of its path. */
export function workspaceName(workspace: Pick<Workspace, "path" | "workspace_id">): string {
  const scratch = SCRATCH.exec(workspace.path ?? "");
  if (scratch) return `scratch copy of ${oneLine(scratch[1]?.slice(-8), 40)}`;
  return oneLine(workspace.path?.split("/").pop() || workspace.workspace_id, 80);
}

/** Those of this server first, copies last; otherwise as they came. */
export function servedFirst(workspaces: readonly Workspace[]): readonly Workspace[] {
  const rank = (each: Workspace): number => (isScratch(each) ? 2 : each.served ? 0 : 1);
  return [...workspaces].sort((a, b) => rank(a) - rank(b));
}
