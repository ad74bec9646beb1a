import { silentLogger } from "@fathom/base";
import { expect, test } from "bun:test";
import { DescriptorReserve, type DescriptorState } from "./descriptor-reserve.ts";

test("the reserve is freed when nothing else is free, and is filled again when there is enough", () => {
  let free = 100;
  const states: DescriptorState[] = [];
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onLook: (state) => states.push(state) > 0,
    open: () => {
      if (free === 0) throw new Error("EMFILE");
      return free--;
    },
    close: () => free++,
  });
  expect(free).toBe(92);
  reserve.look();
  expect(free).toBe(92);
  // Other code takes all of them.
  free = 0;
  reserve.look();
  expect(free).toBe(8);
  free = 0;
  reserve.look();
  free = 3;
  reserve.look();
  expect(free).toBe(3);
  free = 20;
  reserve.look();
  expect(free).toBe(12);
  expect(states).toEqual(["short", "none", "short", "enough"]);
});

test("the reserve checks often while clients are active, and seldom when they are only connected", () => {
  let now = 0;
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onLook: () => true,
    now: () => now,
    open: () => 100,
    close: () => undefined,
  });
  expect(reserve.intervalMs).toBe(500);
  now = 2500;
  reserve.lookAgain();
  expect(reserve.intervalMs).toBe(10_000);
  reserve.wake();
  expect(reserve.intervalMs).toBe(500);
  now = 4000;
  reserve.lookAgain();
  expect(reserve.intervalMs).toBe(500);
  now = 5000;
  reserve.lookAgain();
  expect(reserve.intervalMs).toBe(10_000);
});

test("without free descriptors the reserve checks often, also without a request", () => {
  let now = 0;
  let free = 100;
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onLook: () => true,
    now: () => now,
    open: () => {
      if (free === 0) throw new Error("EMFILE");
      return free--;
    },
    close: () => free++,
  });
  free = 0;
  now = 60_000;
  reserve.lookAgain();
  expect(reserve.state).toBe("short");
  expect(reserve.intervalMs).toBe(500);
});

test("work that is not finished is repeated soon, in the same state", () => {
  let now = 0;
  let free = 100;
  const calls: [DescriptorState, boolean][] = [];
  let finished = false;
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onLook: (state) => {
      calls.push([state, finished]);
      return finished;
    },
    now: () => now,
    open: () => {
      if (free === 0) throw new Error("EMFILE");
      return free--;
    },
    close: () => free++,
  });
  free = 0;
  reserve.look();
  free = 50;
  now = 60_000;
  reserve.lookAgain();
  expect(reserve.intervalMs).toBe(500);
  finished = true;
  reserve.lookAgain();
  expect(reserve.intervalMs).toBe(10_000);
  reserve.lookAgain();
  expect(calls).toEqual([
    ["short", false],
    ["enough", false],
    ["enough", true],
  ]);
});
