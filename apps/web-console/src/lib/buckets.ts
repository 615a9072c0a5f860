/** Stretches of time that divide a range evenly. */

export const RANGES = { day: { name: "24 hours", hours: 24, count: 12 }, week: { name: "7 days", hours: 168, count: 14 }, month: { name: "30 days", hours: 720, count: 15 }, year: { name: "12 months", hours: 8_760, count: 12 } } as const;
export type Range = keyof typeof RANGES;

export function isRange(text: string | null): text is Range {
  return text !== null && Object.hasOwn(RANGES, text);
}

export interface Bucket {
  readonly since: string;
  readonly until: string;
  readonly label: string;
}

/** The buckets up to `now`, oldest first; they begin at whole steps, so that a reload asks the same questions. */
export function buckets(range: Range, now: number): Bucket[] {
  const { hours, count } = RANGES[range];
  const size = (hours * 3_600_000) / count;
  const end = Math.ceil(now / size) * size;
  return Array.from({ length: count }, (_, index) => {
    const from = end - (count - index) * size;
    const at = new Date(from);
    const label = range === "day" ? `${String(at.getHours()).padStart(2, "0")}:00` : range === "year" ? at.toLocaleDateString("en", { month: "short" }) : at.toLocaleDateString("en", { month: "short", day: "numeric" });
    return { since: new Date(from).toISOString(), until: new Date(from + size).toISOString(), label };
  });
}
