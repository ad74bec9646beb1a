import { expect, test } from "bun:test";
import { formatAge } from "./human-time.ts";

test.each([
  [0, "Less than a second"],
  [1, "1 second"],
  [59, "59 seconds"],
  [61, "About a minute"],
  [125, "2 minutes"],
  [3600, "About an hour"],
  [2 * 86400, "2 days"],
  [20 * 86400, "2 weeks"],
  [90 * 86400, "3 months"],
  [800 * 86400, "2 years"],
])("%i seconds is %s", (seconds, text) => expect(formatAge(BigInt(seconds) * 1_000_000_000n)).toBe(text));
