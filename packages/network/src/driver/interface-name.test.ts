import { expect, test } from "bun:test";
import { isInterfaceName, isInterfacePrefix } from "./interface-name.ts";

test.each(["eth0", "..a", "ä", "x".repeat(15), "allways", "veth-1.5"])("%p is a name", (name) => {
  expect(isInterfaceName(name)).toBe(true);
});

test.each(["", ".", "..", "all", "default", "lo", "br%d", "a b", "a/b", "a:b", "x".repeat(16), "ä".repeat(8)])(
  "%p is none",
  (name) => {
    expect(isInterfaceName(name)).toBe(false);
  },
);

test("a prefix leaves room for a number", () => {
  expect(["eth", "..", "x".repeat(12)].filter(isInterfacePrefix)).toHaveLength(3);
  expect(["", "eth%d", "a b", "x".repeat(13), "ä".repeat(7)].filter(isInterfacePrefix)).toEqual([]);
});
