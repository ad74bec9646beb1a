import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { isStoppedState, parseProcessStat } from "./process-stat.ts";

test("a name with brackets and spaces does not move the fields", () => {
  const stat = parseProcessStat("42 (a) T (b) R 7 8 9\n");
  expect([stat.name, stat.state, stat.field(4), stat.field(5), stat.field(52)]).toEqual(["a) T (b", "R", "7", "8", ""]);
});

test("for this process", () => {
  const stat = parseProcessStat(readFileSync("/proc/self/stat", "latin1"));
  expect([Number(stat.field(4)), stat.field(22) !== "", isStoppedState(stat.state)]).toEqual([
    process.ppid,
    true,
    false,
  ]);
  expect(["T", "t", "R", "Z"].map(isStoppedState)).toEqual([true, true, false, false]);
});
