import { describe, expect, it } from "vitest";

import { bar, span } from "./timeline";

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
const NOW = Date.UTC(2026, 0, 1) + 20_000;
const step = (from: number, to: number | null, took: number | null = null) => ({ started_at: at(from), ended_at: to === null ? null : at(to), duration_seconds: took });

describe("a timeline", () => {
  it("places what ended, what has a duration and what goes on", () => {
    const items = [step(0, 5), step(5, null, 5), step(10, null)];
    const whole = span(items, NOW);
    expect(whole && whole.to - whole.from).toBe(20_000);
    expect(items.map((item) => whole && bar(item, whole, NOW))).toEqual([
      { left: 0, width: 25 },
      { left: 25, width: 25 },
      { left: 50, width: 50 },
    ]);
  });

  it("stays inside, whatever the clocks said", () => {
    const items = [step(3, 1), step(0, 10), { started_at: "never", ended_at: null, duration_seconds: null }];
    const whole = span(items, NOW);
    const bars = items.map((item) => whole && bar(item, whole, NOW));
    expect(bars[2]).toBeNull();
    for (const each of bars) if (each) expect(each.left >= 0 && each.width >= 0 && each.left + each.width <= 100).toBe(true);
    expect(span([], NOW)).toBeNull();
  });
});
