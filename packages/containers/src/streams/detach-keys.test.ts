import { expect, test } from "bun:test";
import { effectiveDetachKeys, parseDetachKeys } from "./detach-keys.ts";

test("key sequences", () => {
  expect([...parseDetachKeys("", "detach")]).toEqual([16, 17]);
  expect([...parseDetachKeys("ctrl-x,y", "detach")]).toEqual([24, 121]);
  expect([...parseDetachKeys("ctrl-@,ctrl-[,ctrl-_", "detach")]).toEqual([0, 27, 31]);
  expect(() => parseDetachKeys("ctrl-X", "detach")).toThrow("Invalid detach keys (ctrl-X) provided");
  expect(() => parseDetachKeys("a,,b", "escape")).toThrow("Invalid escape keys (a,,b) provided");
});

test("without a terminal no byte detaches, and a wrong sequence is still told", () => {
  expect(effectiveDetachKeys("", "detach", true)).toEqual(parseDetachKeys("", "detach"));
  expect(effectiveDetachKeys("", "detach", false)).toEqual(new Uint8Array());
  expect(effectiveDetachKeys("ctrl-a", "detach", false)).toEqual(new Uint8Array());
  expect(() => effectiveDetachKeys("ctrl-!", "detach", false)).toThrow(/ctrl-!/);
});
