/** Times and durations as people read them. */

const UNITS: readonly (readonly [string, number])[] = [
  ["y", 365 * 86_400],
  ["mo", 30 * 86_400],
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
];

/** Milliseconds since the epoch, or null for text that is no time (old rows hold other spellings). */
export function parseTime(text: string | null | undefined): number | null {
  if (!text) return null;
  // Old rows have a space in place of the T and no zone; they are UTC.
  const spelled = /^\d{4}-\d{2}-\d{2} \d/.test(text) ? text.replace(" ", "T") : text;
  const zoned = /(?:Z|[+-]\d{2}:?\d{2})$/i.test(spelled) || !spelled.includes("T") ? spelled : `${spelled}Z`;
  const value = Date.parse(zoned);
  return Number.isNaN(value) ? null : value;
}

/** "3 min ago", "in 2 h", "just now". Text that is no time comes back as it is. */
export function relativeTime(text: string | null | undefined, now: number): string {
  const at = parseTime(text);
  if (at === null) return text ?? "";
  const seconds = (now - at) / 1000;
  const distance = Math.abs(seconds);
  if (distance < 5) return "just now";
  const [unit, size] = UNITS.find(([, each]) => distance >= each) ?? ["s", 1];
  const amount = `${Math.floor(distance / size)} ${unit}`;
  return seconds >= 0 ? `${amount} ago` : `in ${amount}`;
}

/** The whole time with its zone, for a tooltip. */
export function absoluteTime(text: string | null | undefined): string {
  const at = parseTime(text);
  if (at === null) return text ?? "";
  const local = new Date(at);
  return `${local.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })} (${text ?? ""})`;
}

/** "12 ms", "1.4 s", "2 min 05 s", "3 h 20 min", "2 d 4 h". */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds) || seconds < 0) return "–";
  if (seconds < 0.0005) return "0 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${String(Math.floor((whole % 3_600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

/** "1 file", "2 files", "1,204 files". */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** "3rd". */
export function ordinal(count: number): string {
  const tens = count % 100;
  const suffix = tens >= 11 && tens <= 13 ? "th" : (["th", "st", "nd", "rd"][count % 10] ?? "th");
  return `${count}${suffix}`;
}

/** The last 8 characters: the random end of an id, and what the command line shows and takes. */
export function shortId(id: string): string {
  return id.length > 16 ? id.slice(-8) : id;
}

/** "1.2 MB". */
export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ""}`;
}
