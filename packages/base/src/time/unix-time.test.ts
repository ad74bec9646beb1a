import { expect, test } from "bun:test";
import { parseUnixTime } from "./unix-time.ts";

test.each([
  ["0", 0n],
  ["1.5", 1_500_000_000n],
  ["1.", 1_000_000_000n],
  ["-1.25", -750_000_000n],
  ["+7.1234567891", 7_123_456_789n],
])("%s", (text, ns) => expect(parseUnixTime(text)).toEqual({ ns }));

test.each([
  ["x", 'invalid seconds "x": invalid syntax'],
  ["", 'invalid seconds "": invalid syntax'],
  ["1 .5", 'invalid seconds "1 ": invalid syntax'],
  ["9999999999999999999", 'invalid seconds "9999999999999999999": value out of range'],
  ["1.x", "invalid nanoseconds: invalid character 'x' at position 0"],
  ["1.2.3", "invalid nanoseconds: invalid character '.' at position 1"],
])("%s is rejected", (text, problem) => expect(parseUnixTime(text)).toEqual({ problem }));
