import { expect, test } from "bun:test";
import { detachKeysOf } from "./detach-keys.ts";

test("without a terminal no byte detaches; with one the chosen keys do, or Ctrl-P Ctrl-Q", () => {
  expect(detachKeysOf(true, undefined)).toEqual(Uint8Array.of(16, 17));
  expect(detachKeysOf(true, Uint8Array.of(1))).toEqual(Uint8Array.of(1));
  expect(detachKeysOf(false, undefined)).toEqual(new Uint8Array());
  expect(detachKeysOf(false, Uint8Array.of(1))).toEqual(new Uint8Array());
});
