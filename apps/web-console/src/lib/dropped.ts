/** What `executor gc` dropped of an execution, as its event tells. */

import { bytes, plural } from "./time";
import { oneLine } from "./text";

export interface Part {
  /** "the contents of 4 files" */
  readonly name: string;
  /** "2 KB" */
  readonly size: string;
}

export interface Dropped {
  readonly parts: readonly Part[];
  /** "the newest 1,000 and the last 90 days"; empty when the event does not say. */
  readonly kept: string;
  readonly actor: string;
}

type Fields = Readonly<Record<string, unknown>>;

function count(event: Fields, name: string): number {
  const value = event[name];
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

const KINDS = [["artifact", "", "artifact"], ["content", "the contents of ", "file"], ["log", "", "log"]] as const;

export function dropped(events: readonly (Fields & { event: string })[]): Dropped {
  const event: Fields | undefined = events.findLast((each) => each.event === "payload_dropped");
  if (!event) return { parts: [], kept: "", actor: "" };
  const parts = KINDS.flatMap(([kind, before, one]) => {
    const found = count(event, `${kind}_count`);
    if (found === 0) return [];
    return [{ name: before + plural(found, one), size: bytes(count(event, `${kind}_bytes`)) }];
  });
  const newest = count(event, "keep_count");
  const days = count(event, "keep_days");
  const kept = [...(newest > 0 ? [`the newest ${newest.toLocaleString("en")}`] : []), ...(days > 0 ? [`the last ${plural(days, "day")}`] : [])];
  return { parts, kept: kept.join(" and "), actor: oneLine(typeof event["actor"] === "string" ? event["actor"] : "", 80) };
}
