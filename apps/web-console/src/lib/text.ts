/** Text from outside, made fit to be shown. It is only ever put into text nodes. */

// Characters that reorder or hide text around them. Shown by name, so that nobody is fooled.
const HIDDEN = /[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad\u061c\u{e0000}-\u{e007f}]/gu;
// Terminal sequences: CSI, OSC up to its end, and two-character escapes; then the other control characters.
// eslint-disable-next-line no-control-regex
const ESCAPES = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\u001b[@-Z\\-_a-z]|\u009b[0-?]*[ -/]*[@-~]/g;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

const SHOWN = 2_000;

function named(character: string): string {
  return `[U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]`;
}

/** Without terminal sequences; hidden and reordering characters by their number; lone surrogates replaced. */
export function plain(text: string): string {
  return text.replace(ESCAPES, "").replace(CONTROL, "").replace(HIDDEN, named).toWellFormed();
}

/** One line of at most `limit` characters, for a cell. */
export function oneLine(text: string | null | undefined, limit = 240): string {
  if (!text) return "";
  // Cut first: a text of megabytes is not searched for the sake of its first words.
  const line = plain(text.slice(0, limit * 8)).trim().replace(/\s+/g, " ");
  return line.length > limit ? `${cut(line, limit - 1)}…` : line;
}

function cut(text: string, length: number): string {
  const code = text.charCodeAt(length - 1);
  return text.slice(0, code >= 0xd800 && code <= 0xdbff ? length - 1 : length);
}

/** What an error of a check comes down to: without the command line before it, where something follows that. */
export function cause(line: string): string {
  const found = /^.{1,200}? exited with -?\d+: (.+)$/.exec(line);
  return found?.[1] ?? line;
}

export interface Span {
  readonly text: string;
  readonly style: string;
}

export interface Line {
  readonly spans: readonly Span[];
  /** How many characters of a very long line are not shown. */
  readonly hidden: number;
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// eslint-disable-next-line no-control-regex
const SGR = /\u001b\[([0-9;]*)m/g;

function styled(style: string, codes: string): string {
  let result = new Set(style.split(" ").filter(Boolean));
  for (const code of (codes || "0").split(";").map(Number)) {
    if (code === 0) result = new Set();
    else if (code === 1) result.add("ansi-bold");
    else if (code === 22) result.delete("ansi-bold");
    else if ((code >= 30 && code <= 37) || code === 39 || (code >= 90 && code <= 97)) {
      for (const name of result) if (name !== "ansi-bold") result.delete(name);
      if (code !== 39) result.add(`ansi-${COLOURS[code % 10] ?? "white"}`);
    }
  }
  return [...result].join(" ");
}

/** One line of a log: its colours as class names, everything else a terminal would obey taken out. */
export function logLine(text: string, limit = SHOWN): Line {
  // A progress bar writes over its own line; what was there last counts.
  const ended = text.endsWith("\r") ? text.slice(0, -1) : text;
  const last = ended.slice(ended.lastIndexOf("\r") + 1);
  const kept = last.length > limit ? cut(last, limit) : last;
  const spans: Span[] = [];
  let style = "";
  let from = 0;
  for (const match of kept.matchAll(SGR)) {
    push(spans, kept.slice(from, match.index), style);
    style = styled(style, match[1] ?? "");
    from = match.index + match[0].length;
  }
  push(spans, kept.slice(from), style);
  return { spans, hidden: last.length - kept.length };
}

function push(spans: Span[], text: string, style: string): void {
  const shown = plain(text);
  if (shown) spans.push({ text: shown, style });
}

/** Looks like the line of a log that somebody in search of a failure wants to see. */
const TROUBLE = /\b(?:[a-z]*error|[a-z]*exception|traceback|fatal|failed|failure|panic|not ok)\b|^E\s{2,}|^(?:-{3} )?fail\b/i;

export function looksLikeTrouble(line: string): boolean {
  return TROUBLE.test(line.length > SHOWN ? line.slice(0, SHOWN) : line);
}

/** The lines of a log of any length. A text that ends with a line feed has no empty last line. */
export function splitLines(text: string): string[] {
  const lines = text.split("\n");
  if (lines.length > 1 && lines[lines.length - 1] === "") lines.pop();
  return lines;
}
