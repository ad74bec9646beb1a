import { expect, test } from "bun:test";
import { followWallClock, formatRfc3339Nano, parseRfc3339Nano, systemClock } from "./clock.ts";
import { startTimer } from "./timer.ts";

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
  await expect(sleeping).rejects.toThrow("enough");
});

test("a sleep may be longer than the runtime's longest timer", async () => {
  const control = new AbortController();
  // Thirty days. A timer of the runtime holds at most 2^31 - 1 ms; a longer one fires at once.
  const sleeping = systemClock.sleep(30 * 24 * 3_600_000, control.signal);
  await systemClock.sleep(20);
  control.abort(new Error("still asleep"));
  await expect(sleeping).rejects.toThrow("still asleep");
});

test("a long wait is made of timers that the runtime can hold", () => {
  const asked: number[] = [];
  let due: (() => void) | undefined;
  const fake = (action: () => void, ms: number): number => {
    asked.push(ms);
    due = action;
    return asked.length;
  };
  let fired = 0;
  startTimer(() => fired++, 5_000_000_000, { start: fake, stop: () => undefined });
  while (fired === 0 && asked.length < 10) due?.();
  expect(asked).toEqual([2_147_483_647, 2_147_483_647, 705_032_706]);
  expect(fired).toBe(1);
});

test("the wall clock follows steps of the system's clock, and has finer steps than the system's clock", () => {
  let wallMs = 1_700_000_000_000;
  let monotonicMs = 50;
  const nowMs = followWallClock(
    () => Math.floor(wallMs),
    () => monotonicMs,
  );
  const pass = (ms: number): void => {
    wallMs += ms;
    monotonicMs += ms;
  };
  const readMs = (): number => Number(nowMs()) / 1e6;
  const first = nowMs();
  pass(0.25);
  expect(nowMs() - first).toBe(250_000n);
  for (const step of [3_600_000, -3_600_000, 5, -86_400_000]) {
    wallMs += step;
    expect(Math.abs(readMs() - wallMs)).toBeLessThanOrEqual(1);
    pass(10_000);
    expect(Math.abs(readMs() - wallMs)).toBeLessThanOrEqual(1);
  }
  // The clock also follows a system clock that NTP makes a little faster all the time.
  for (let turn = 0; turn < 1000; turn++) {
    pass(20);
    wallMs += 0.01;
  }
  expect(Math.abs(readMs() - wallMs)).toBeLessThanOrEqual(4);
});

test("the clock of this process agrees with the system's clock", () => {
  const before = Date.now();
  const now = Number(systemClock.nowNs() / 1_000_000n);
  expect(now).toBeGreaterThanOrEqual(before - 3);
  expect(now).toBeLessThanOrEqual(Date.now() + 3);
});
