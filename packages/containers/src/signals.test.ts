import { expect, test } from "bun:test";
import { ContainerProblem, type Problem } from "./problem.ts";
import { parseSignal } from "./signals.ts";

function problemOf(action: () => unknown): Problem | undefined {
  try {
    action();
  } catch (error) {
    return error instanceof ContainerProblem ? error.problem : undefined;
  }
  return undefined;
}

test.each([
  ["KILL", 9],
  ["SIGTERM", 15],
  ["sigusr1", 10],
  ["9", 9],
  ["RTMIN+3", 37],
  ["SIGRTMAX-1", 63],
])("%s is %i", (text, number) => expect(parseSignal(text)).toBe(number));

test("the error for an invalid signal names it", () => {
  for (const text of ["NOSUCH", "0", "", "constructor", "RTMIN+99", "RTMIN-1"])
    expect(() => parseSignal(text)).toThrow(`invalid signal: ${text}`);
  expect(problemOf(() => parseSignal("0"))).toEqual({ kind: "no-such-signal", text: "0", beyond: false });
  expect(problemOf(() => parseSignal("99"))).toEqual({ kind: "no-such-signal", text: "99", beyond: true });
});
