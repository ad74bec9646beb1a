import { expect, test } from "bun:test";
import { parseUntil } from "./prune-until.ts";

const now = 1_700_000_000_000_000_000n;

test("durations, unix times and dates", () => {
  expect(parseUntil([], now)).toBeUndefined();
  expect(parseUntil(["1h30m"], now)).toBe(now - 5_400_000_000_000n);
  expect(parseUntil(["1700000000.5"], now)).toBe(1_700_000_000_500_000_000n);
  expect(parseUntil(["2023-01-02T03:04:05Z"], now)).toBe(1_672_628_645_000_000_000n);
  expect(() => parseUntil(["never"], now)).toThrow(
    'failed to parse value as time or duration: invalid seconds "never": invalid syntax',
  );
  expect(() => parseUntil(["1h", "2h"], now)).toThrow("more than one until filter");
});
