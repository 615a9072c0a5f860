import { describe, expect, it } from "vitest";

import { cause, logLine, looksLikeTrouble, oneLine, plain, splitLines } from "./text";

const ESC = "\u001b";

describe("text from outside", () => {
  it.each([
    [`${ESC}[31mred${ESC}[0m`, "red"],
    [`${ESC}]0;title\u0007after`, "after"],
    [`${ESC}]8;;javascript:alert(1)${ESC}\\link${ESC}]8;;${ESC}\\`, "link"],
    [`${ESC}c${ESC}[2J${ESC}[Hclean`, "clean"],
    ["a\u0000b\u0007c\u009b31md", "abcd"],
    ["user\u202etxt.exe", "user[U+202E]txt.exe"],
    ["zero\u200bwidth", "zero[U+200B]width"],
    ["<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
    ["ok \u{1f4a5} \u00fc", "ok \u{1f4a5} \u00fc"],
    ["\ud800", "\ufffd"],
    ["tab\tand\nline", "tab\tand\nline"],
    [`cut off ${ESC}]0;no end`, "cut off "],
  ])("%j is shown as %j", (text, expected) => {
    expect(plain(text)).toBe(expected);
  });

  it("makes one line of many", () => {
    expect(oneLine("a\n  b\tc")).toBe("a b c");
    expect(oneLine("x".repeat(200_000))).toHaveLength(240);
    expect(oneLine(null)).toBe("");
  });

  it("never cuts a character in half", () => {
    for (const limit of [3, 4, 5, 6]) expect(oneLine("\u{1f4a5}".repeat(20), limit).isWellFormed()).toBe(true);
  });
});

describe("a line of a log", () => {
  it("has colours as names", () => {
    expect(logLine(`plain ${ESC}[1;31mbad${ESC}[0m again`).spans).toEqual([
      { text: "plain ", style: "" },
      { text: "bad", style: "ansi-bold ansi-red" },
      { text: " again", style: "" },
    ]);
    expect(logLine(`${ESC}[31ma${ESC}[92mb${ESC}[39mc`).spans.map((span) => span.style)).toEqual(["ansi-red", "ansi-green", ""]);
  });

  it("shows what a progress bar wrote last", () => {
    expect(logLine("10 %\r50 %\r100 %").spans[0]?.text).toBe("100 %");
    expect(logLine("windows line\r").spans[0]?.text).toBe("windows line");
  });

  it("says how much of a very long line is not shown", () => {
    const line = logLine("y".repeat(200_000));
    expect([line.spans[0]?.text.length, line.hidden]).toEqual([2_000, 198_000]);
  });

  it("takes no time over hostile lines", () => {
    const started = performance.now();
    logLine(`${ESC}[`.repeat(100_000));
    plain(`${ESC}]`.repeat(50_000));
    looksLikeTrouble("E ".repeat(100_000));
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it("knows trouble", () => {
    expect(["E   assert 52 == 53", "ValueError: no", "Traceback (most recent call last):", "1 failed"].every(looksLikeTrouble)).toBe(true);
    expect(["5 passed", "terrors", "no errors found"].map(looksLikeTrouble)).toEqual([false, false, false]);
  });

  it("splits without an empty end", () => {
    expect(splitLines("a\nb\n")).toEqual(["a", "b"]);
    expect(splitLines("")).toEqual([""]);
  });
});

it.each([
  ["pytest -q exited with 1: AssertionError: 3 != 4", "AssertionError: 3 != 4"],
  ["make exited with -9", "make exited with -9"],
  ["pytest exited with 1: sub exited with 2: no", "sub exited with 2: no"],
  ["", ""],
])("the cause of %j is %j", (line, expected) => {
  expect(cause(line)).toBe(expected);
});
