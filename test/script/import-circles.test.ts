import { expect, test } from "bun:test";
import { circlesIn } from "../../script/import-circles.ts";

function circles(imports: Readonly<Record<string, readonly string[]>>): string[][] {
  return circlesIn(new Map(Object.entries(imports)));
}

test("a circle is found once, whatever leads to it", () => {
  expect(circles({ a: ["b"], b: ["c"], c: ["d"], d: ["b"], e: ["a", "d"] })).toEqual([["b", "c", "d"]]);
  expect(circles({ a: ["a"] })).toEqual([["a"]]);
  expect(circles({ a: ["b"], b: ["a"], c: ["d"], d: ["c"] })).toEqual([
    ["a", "b"],
    ["c", "d"],
  ]);
});

test("a file that several files import is no circle", () => {
  expect(circles({ a: ["b", "c"], b: ["d"], c: ["d"], d: [] })).toEqual([]);
});
