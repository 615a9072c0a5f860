/** Where the bars of a timeline stand. */

import { parseTime } from "./time";

export interface Timed {
  readonly started_at: string;
  readonly ended_at: string | null;
  readonly duration_seconds: number | null;
}

export interface Bar {
  /** In percent of the whole. */
  readonly left: number;
  readonly width: number;
}

export interface Span {
  readonly from: number;
  readonly to: number;
}

function interval(item: Timed, now: number): Span | null {
  const from = parseTime(item.started_at);
  if (from === null) return null;
  const ended = parseTime(item.ended_at);
  const to = ended ?? (item.duration_seconds === null ? now : from + item.duration_seconds * 1000);
  return { from, to: Math.max(from, to) };
}

/** The time all of them take together; null when none has a time. */
export function span(items: readonly Timed[], now: number): Span | null {
  let from = Infinity;
  let to = -Infinity;
  for (const item of items) {
    const own = interval(item, now);
    if (!own) continue;
    from = Math.min(from, own.from);
    to = Math.max(to, own.to);
  }
  return Number.isFinite(from) ? { from, to: Math.max(to, from + 1) } : null;
}

export function bar(item: Timed, whole: Span, now: number): Bar | null {
  const own = interval(item, now);
  if (!own) return null;
  const length = whole.to - whole.from;
  const left = Math.min(100, Math.max(0, ((own.from - whole.from) / length) * 100));
  return { left, width: Math.min(100 - left, ((own.to - own.from) / length) * 100) };
}
