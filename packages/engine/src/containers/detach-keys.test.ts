import { expect, test } from "bun:test";
import { parseDetachKeys } from "./detach-keys.ts";

test("key sequences", () => {
  expect(parseDetachKeys("", "detach")).toBeUndefined();
  expect(parseDetachKeys("ctrl-x,y", "detach")).toEqual(Uint8Array.of(24, 121));
  expect(parseDetachKeys("ctrl-@,ctrl-[,ctrl-_", "detach")).toEqual(Uint8Array.of(0, 27, 31));
  expect(() => parseDetachKeys("ctrl-X", "detach")).toThrow("Invalid detach keys (ctrl-X) provided");
  expect(() => parseDetachKeys("a,,b", "escape")).toThrow("Invalid escape keys (a,,b) provided");
});
