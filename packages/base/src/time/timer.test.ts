import { expect, test } from "bun:test";
import { untilLook } from "./timer.ts";

test("an idle daemon wakes at the same moments, whatever the earlier moments were, and once at each", () => {
  expect(untilLook(10_000, 0)).toBe(10_000);
  expect(untilLook(10_000, 23_000)).toBe(7000);
  expect(untilLook(5000, 23_000)).toBe(7000);
  // A timer that fired a little too early does not fire again at once.
  expect(untilLook(10_000, 29_999.5)).toBe(10_000.5);
  expect(untilLook(10_000, 29_999.5, 0)).toBe(0.5);
  for (const everyMs of [5000, 10_000])
    for (let now = 0.25; now < 20_000; now += 333) {
      const next = now + untilLook(everyMs, now);
      expect(next % everyMs).toBeCloseTo(0, 6);
      expect(next - now).toBeGreaterThanOrEqual(everyMs / 2);
      expect(next - now).toBeLessThan(1.5 * everyMs);
    }
});
