import { expect, test } from "bun:test";
import { checkName, makeName } from "./names.ts";

test("a leading slash is dropped, the error for a bad name names it", () => {
  expect(checkName("/second_2.x-c")).toBe("second_2.x-c");
  for (const name of ["bad name", "-x", "a/b", "x", "ü1", ".dot", "", "/"])
    expect(() => checkName(name)).toThrow(`Invalid container name (${name})`);
});

test("generated names are free", () => {
  expect(makeName(() => false)).toMatch(/^[a-z]+_[a-z]+$/);
  let calls = 0;
  expect(makeName(() => ++calls < 20)).toMatch(/^[a-z]+_[a-z]+\d+$/);
});
