import { expect, test } from "bun:test";
import { effectiveDetachKeys, parseDetachKeys } from "./detach-keys.ts";

test("key sequences", () => {
  expect([...parseDetachKeys("")]).toEqual([16, 17]);
  expect([...parseDetachKeys("ctrl-x,y")]).toEqual([24, 121]);
  expect([...parseDetachKeys("ctrl-@,ctrl-[,ctrl-_")]).toEqual([0, 27, 31]);
  expect(() => parseDetachKeys("ctrl-X")).toThrow("invalid detach keys (ctrl-X)");
  expect(() => parseDetachKeys("a,,b")).toThrow();
});

test("without a terminal no byte detaches, and a wrong sequence is still told", () => {
  expect(effectiveDetachKeys("", true)).toEqual(parseDetachKeys(""));
  expect(effectiveDetachKeys("", false)).toEqual(new Uint8Array());
  expect(effectiveDetachKeys("ctrl-a", false)).toEqual(new Uint8Array());
  expect(() => effectiveDetachKeys("ctrl-!", false)).toThrow(/ctrl-!/);
});
