import { expect, test } from "bun:test";
import { parseEphemeralRange } from "./ephemeral-range.ts";

test("the kernel's files", () => {
  expect(parseEphemeralRange("32768\t60999\n", "\n")).toEqual({ first: 32768, last: 60999, excluded: new Set() });
  const { excluded } = parseEphemeralRange("100 200", "90-101,150,199-4000,junk\n");
  expect([...excluded]).toEqual([100, 101, 150, 199, 200]);
  expect(parseEphemeralRange("", "").first).toBe(49153);
});
