import { expect, test } from "bun:test";
import { ellipsis, fittedTable, table } from "./format.ts";

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

test("a table is made to fit: the widest columns are cut, names and ids never", () => {
  const rows = [
    ["ID", "COMMAND", "PORTS", "NAMES"],
    [
      "0123456789ab",
      "sleep for a very long time",
      "0.0.0.0:80->80/tcp, [::]:80->80/tcp, 0.0.0.0:443->443/tcp",
      "a-name-that-stays",
    ],
  ];
  const whole = new Set([0, 3]);
  const text = fittedTable(rows, 80, whole);
  expect(Math.max(...text.split("\n").map((line) => [...line].length))).toBe(80);
  expect(text).toContain("0123456789ab  sleep for a very long…  0.0.0.0:80->80/tcp, [:…  a-name-that-stays\n");
  expect(fittedTable(rows, 200, whole)).toBe(table(rows));
  // Names and ids alone are too wide: nothing is gained by cutting the rest.
  expect(fittedTable(rows, 40, whole)).toBe(table(rows));
});
