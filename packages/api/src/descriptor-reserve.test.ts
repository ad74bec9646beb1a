import { silentLogger } from "@fathom/base";
import { expect, test } from "bun:test";
import { DescriptorReserve, type DescriptorState } from "./descriptor-reserve.ts";

test("the reserve is free when nothing else is, and is taken again when there is enough", () => {
  let free = 100;
  const states: DescriptorState[] = [];
  using reserve = new DescriptorReserve({
    logger: silentLogger,
    onChange: (state) => states.push(state),
    open: () => {
      if (free === 0) throw new Error("EMFILE");
      return free--;
    },
    close: () => free++,
  });
  expect(free).toBe(92);
  reserve.look();
  expect(free).toBe(92);
  // Others take all.
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
