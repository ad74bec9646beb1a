import { expect, test } from "bun:test";
import { matcherOf } from "./file-pattern.ts";

test.each([
  ["*.txt", ["a.txt", ".txt"], ["a.txtx", "txt"]],
  ["f[0-9]", ["f1"], ["f10", "fa"]],
  ["f[^0-9]?", ["fab"], ["f1b", "fa"]],
  ["\\*a", ["*a"], ["xa"]],
  ["a*b*c", ["abc", "aXbYbZc"], ["ab", "acb"]],
  ["[\\]a]", ["]", "a"], ["b"]],
])("%s", (pattern, matching, others) => {
  const test = matcherOf(pattern);
  expect(matching.filter((name) => !test(name))).toEqual([]);
  expect(others.filter(test)).toEqual([]);
});

test.each(["[", "[a", "[]a]", "a\\", "[a-]"])("%s is no pattern", (pattern) => {
  expect(() => matcherOf(pattern)).toThrow("syntax error in pattern");
});

test("many stars take no long time", () => {
  expect(matcherOf(`${"a*".repeat(50)}b`)("a".repeat(5000))).toBe(false);
});
