import { expect, test } from "bun:test";
import { formatRfc3339Nano, parseRfc3339Nano, systemClock } from "./clock.ts";

test("RFC 3339 with nanoseconds, as Go writes it", () => {
  expect(formatRfc3339Nano(1_700_000_000_123_456_789n)).toBe("2023-11-14T22:13:20.123456789Z");
  expect(formatRfc3339Nano(1_700_000_000_100_000_000n)).toBe("2023-11-14T22:13:20.1Z");
  expect(formatRfc3339Nano(1_700_000_000_000_000_000n)).toBe("2023-11-14T22:13:20Z");
  expect(parseRfc3339Nano("2023-11-14T23:13:20.123456789+01:00")).toBe(1_700_000_000_123_456_789n);
  expect(parseRfc3339Nano("yesterday")).toBeUndefined();
});

test("sleep ends with the signal's reason", async () => {
  const control = new AbortController();
  const sleeping = systemClock.sleep(60_000, control.signal);
  control.abort(new Error("enough"));
  expect(sleeping).rejects.toThrow("enough");
});
