import { expect, test } from "bun:test";
import { ellipsis, table } from "./format.ts";

test("tables and ellipsis", () => {
  expect(
    table([
      ["NAME", "ID"],
      ["a-long-name", "1"],
    ]),
  ).toBe("NAME          ID\na-long-name   1\n");
  expect(ellipsis("abcdef", 4)).toBe("abc…");
  expect(ellipsis("abc", 4)).toBe("abc");
});
