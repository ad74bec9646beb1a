import { expect, test } from "bun:test";
import { sortedKeys } from "./sorted-keys.ts";

const order = (...keys: string[]): string[] => Object.keys(sortedKeys(Object.fromEntries(keys.map((key) => [key, 1]))));

test("keys are in the order of their bytes", () => {
  expect(order("b", "a", "", "B", "é", "aa", "_")).toEqual(["", "B", "_", "a", "aa", "b", "é"]);
  // As UTF-16 the emoji would be before the other one.
  expect(order("😀", "\uffff", "a")).toEqual(["a", "\uffff", "😀"]);
});

test("a key of Object's own properties is a key as others", () => {
  const sorted = sortedKeys(JSON.parse('{"constructor":1,"__proto__":2}'));
  expect(Object.entries(sorted)).toEqual([
    ["__proto__", 2],
    ["constructor", 1],
  ]);
});
