import { expect, test } from "bun:test";
import { parseSignal } from "./signals.ts";

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
  expect(() => parseSignal("99")).toThrow("the linux daemon does not support signal 99");
});
