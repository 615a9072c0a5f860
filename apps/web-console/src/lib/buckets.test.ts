import { expect, it } from "vitest";

import { buckets, isRange, RANGES, type Range } from "./buckets";

it.each(Object.keys(RANGES) as Range[])("%s: buckets follow each other and hold now", (range) => {
  const now = Date.UTC(2026, 2, 1, 12, 34, 56);
  const found = buckets(range, now);
  expect(found).toHaveLength(RANGES[range].count);
  found.slice(1).forEach((bucket, index) => expect(bucket.since).toBe(found[index]?.until));
  expect(Date.parse(found.at(-1)?.since ?? "") <= now && now <= Date.parse(found.at(-1)?.until ?? "")).toBe(true);
  expect(buckets(range, now + 1000)).toEqual(found);
});

it("knows its ranges", () => {
  expect([isRange("week"), isRange("toString"), isRange(null)]).toEqual([true, false, false]);
});
