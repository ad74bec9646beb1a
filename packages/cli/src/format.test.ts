import { expect, test } from "bun:test";
import { bytesSize, ellipsis, humanSize, table } from "./format.ts";

test("sizes as go-units", () => {
  expect(humanSize(0)).toBe("0B");
  expect(humanSize(999)).toBe("999B");
  expect(humanSize(4_261_502)).toBe("4.262MB");
  expect(humanSize(4_261_502, 3)).toBe("4.26MB");
  expect(humanSize(1_000_000_000)).toBe("1GB");
  expect(bytesSize(25_165_824)).toBe("24MiB");
});

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
