import { expect, test } from "bun:test";
import { ignoreMatcher } from "./ignore-patterns.ts";

const paths = ["a", "a/b", "a/b/c.log", "c.log", "d/c.log", "temp1", "temp22", ".x", "#odd", "a/.x"];

test.each([
  ["*.log", ["c.log"]],
  ["**/*.log", ["a/b/c.log", "c.log", "d/c.log"]],
  ["a", ["a", "a/b", "a/b/c.log", "a/.x"]],
  ["a/*\n!a/b", ["a/.x"]],
  ["*\n!a/b/c.log", ["a", "a/b", "c.log", "d/c.log", "temp1", "temp22", ".x", "#odd", "a/.x"]],
  ["temp?", ["temp1"]],
  ["/.x", [".x"]],
  ["**/b", ["a/b", "a/b/c.log"]],
  ["#odd\n\n  c.log  ", ["c.log"]],
  ["[!-~]emp1", ["temp1"]],
  ["a/../c.log", ["c.log"]],
  ["d/**", ["d/c.log"]],
])("%j", (text, ignored) => {
  const test = ignoreMatcher(text);
  expect(paths.filter(test)).toEqual(ignored);
});

test("what is no pattern", () => {
  expect(() => ignoreMatcher("[")).toThrow("syntax error in pattern");
  expect(() => ignoreMatcher("!")).toThrow('illegal exclusion pattern: "!"');
});

test("a pattern with many stars takes no longer for a text that it nearly matches", () => {
  const ignored = ignoreMatcher(`${"*a".repeat(40)}*b\n${"**/a".repeat(40)}\n`);
  expect(ignored("a".repeat(200))).toBe(false);
  expect(ignored(`${"a".repeat(200)}b`)).toBe(true);
});
