import { describe, expect, it } from "vitest";

import { absoluteTime, bytes, duration, ordinal, parseTime, plural, relativeTime, shortId } from "./time";

const NOW = Date.parse("2026-03-01T12:00:00.000Z");

describe("times", () => {
  it.each([
    ["2026-03-01T11:59:59.000000Z", "just now"],
    ["2026-03-01T11:59:30.000000Z", "30 s ago"],
    ["2026-03-01T11:57:00.000000Z", "3 min ago"],
    ["2026-03-01T09:30:00.000000Z", "2 h ago"],
    ["2026-02-26T12:00:00.000000Z", "3 d ago"],
    ["2025-11-01T12:00:00.000000Z", "4 mo ago"],
    ["2023-03-01T12:00:00.000000Z", "3 y ago"],
    ["2026-03-01T14:00:00.000000Z", "in 2 h"],
    ["2026-03-01 11:57:00", "3 min ago"],
    ["2026-03-01T11:57:00", "3 min ago"],
    ["2026-03-01T13:57:00+02:00", "3 min ago"],
    ["once upon a time", "once upon a time"],
    ["", ""],
    [null, ""],
  ])("%s is %s", (text, expected) => {
    expect(relativeTime(text, NOW)).toBe(expected);
  });

  it("keeps the exact text in the tooltip", () => {
    expect(absoluteTime("2026-03-01T11:57:00.123456Z")).toContain("2026-03-01T11:57:00.123456Z");
    expect(absoluteTime("nonsense")).toBe("nonsense");
  });

  it("reads microseconds", () => {
    expect(parseTime("2026-03-01T12:00:00.250000Z")).toBe(NOW + 250);
  });
});

describe("durations", () => {
  it.each([
    [0, "0 ms"],
    [0.0124, "12 ms"],
    [0.9996, "1.0 s"],
    [1.44, "1.4 s"],
    [9.96, "10 s"],
    [59.6, "1 min 00 s"],
    [125, "2 min 05 s"],
    [3_599.7, "1 h 00 min"],
    [12_000, "3 h 20 min"],
    [187_200, "2 d 4 h"],
    [null, "–"],
    [undefined, "–"],
    [Number.NaN, "–"],
    [-1, "–"],
  ])("%s s is %s", (seconds, expected) => {
    expect(duration(seconds)).toBe(expected);
  });
});

describe("numbers and ids", () => {
  it("counts", () => {
    expect([plural(0, "file"), plural(1, "file"), plural(1204, "try", "tries")]).toEqual(["0 files", "1 file", "1,204 tries"]);
    expect([1, 2, 3, 4, 11, 12, 13, 21, 112].map(ordinal)).toEqual(["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]);
    expect([bytes(999), bytes(1000), bytes(2_340_000)]).toEqual(["999 B", "1.0 KB", "2.3 MB"]);
  });

  it("shortens generated ids and leaves chosen ones", () => {
    expect(shortId("exec_01a203eec0de72cebf8adabda810bb74")).toBe("a810bb74");
    expect(shortId("exec_001")).toBe("exec_001");
  });
});
