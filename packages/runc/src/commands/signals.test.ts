import { expect, test } from "bun:test";
import { signalNumber } from "./signals.ts";

test("signals by name and by number", () => {
  const cases = { TERM: 15, SIGTERM: 15, sigkill: 9, "1": 1, "64": 64, RTMIN: 34, "SIGRTMIN+3": 37, "RTMAX-1": 63 };
  for (const [text, number] of Object.entries(cases)) expect(signalNumber(text)).toBe(number);
  for (const text of ["", "65", "NOSUCH", "RTMIN-1", "RTMAX+1", "1.5"])
    expect(() => signalNumber(text)).toThrow(`unknown signal "${text}"`);
});
