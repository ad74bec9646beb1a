import { expect, test } from "bun:test";
import type { Clock } from "./clock.ts";
import { settlesWithin, within } from "./within.ts";

/** A clock whose sleeps end when the test says so. */
function manualClock(): { clock: Clock; expire(): void; running: () => number } {
  const sleeps = new Set<() => void>();
  const clock: Clock = {
    nowNs: () => 0n,
    monotonicMs: () => 0,
    sleep: (_ms, signal) =>
      new Promise((resolve, reject) => {
        sleeps.add(resolve);
        signal?.addEventListener("abort", () => {
          sleeps.delete(resolve);
          reject(signal.reason);
        });
      }),
  };
  return { clock, expire: () => sleeps.forEach((end) => end()), running: () => sleeps.size };
}

test("a result that comes in time is the result, and no timer is left", async () => {
  const { clock, running } = manualClock();
  const work = Promise.withResolvers<number>();
  const waiting = within(work.promise, 1000, () => "late", { clock });
  expect(running()).toBe(1);
  work.resolve(7);
  expect(await waiting).toBe(7);
  expect(running()).toBe(0);
});

test("at the limit the result is that of `late`, or its error", async () => {
  const { clock, expire } = manualClock();
  const never = new Promise<number>(() => undefined);
  const waiting = within(never, 1000, () => "late", { clock });
  const failing = within(
    never,
    1000,
    () => {
      throw new Error("nobody came");
    },
    { clock },
  );
  expire();
  expect(await waiting).toBe("late");
  await expect(failing).rejects.toThrow("nobody came");
});

test("an error of the work comes through, and no timer is left", async () => {
  const { clock, running } = manualClock();
  await expect(within(Promise.reject(new Error("broken")), 1000, () => 0, { clock })).rejects.toThrow("broken");
  expect(running()).toBe(0);
});

test("an aborted signal ends the wait as the limit does, also without a limit", async () => {
  const never = new Promise<number>(() => undefined);
  const control = new AbortController();
  const waiting = within(never, undefined, () => "late", { signal: control.signal });
  control.abort();
  expect(await waiting).toBe("late");
  expect(await within(never, undefined, () => "late", { signal: control.signal })).toBe("late");
});

test("settlesWithin counts an error as an end", async () => {
  const { clock, expire } = manualClock();
  expect(await settlesWithin(Promise.reject(new Error("broken")), 1000, { clock })).toBe(true);
  const waiting = settlesWithin(new Promise(() => undefined), 1000, { clock });
  expire();
  expect(await waiting).toBe(false);
});
