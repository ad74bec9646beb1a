import { silentLogger } from "@fathom/base";
import { expect, test } from "bun:test";
import { DescriptorReserve, type DescriptorState } from "./descriptor-reserve.ts";

/** A machine with 100 free descriptors; other code takes and gives back some. */
function limited(): { free: number; readonly open: () => number; readonly close: () => void } {
  const machine = {
    free: 100,
    open: () => {
      if (machine.free === 0) throw new Error("EMFILE");
      return machine.free--;
    },
    close: () => void machine.free++,
  };
  return machine;
}

test("the reserve is freed when nothing else is free, and is filled again when there is enough", () => {
  const machine = limited();
  const states: DescriptorState[] = [];
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onLook: (state) => states.push(state) > 0,
    ...machine,
  });
  expect(machine.free).toBe(92);
  reserve.look();
  expect(machine.free).toBe(92);
  // Other code takes all of them.
  machine.free = 0;
  reserve.look();
  expect(machine.free).toBe(8);
  machine.free = 0;
  reserve.look();
  machine.free = 3;
  reserve.look();
  expect(machine.free).toBe(3);
  machine.free = 20;
  reserve.look();
  expect(machine.free).toBe(12);
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
  const machine = limited();
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onLook: () => true,
    now: () => now,
    ...machine,
  });
  machine.free = 0;
  now = 60_000;
  reserve.lookAgain();
  expect(reserve.state).toBe("short");
  expect(reserve.intervalMs).toBe(500);
});

test("work that is not finished is repeated soon, in the same state", () => {
  let now = 0;
  const machine = limited();
  const calls: [DescriptorState, boolean][] = [];
  let finished = false;
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onLook: (state) => {
      calls.push([state, finished]);
      return finished;
    },
    now: () => now,
    ...machine,
  });
  machine.free = 0;
  reserve.look();
  machine.free = 50;
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
