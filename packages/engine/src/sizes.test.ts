import { expect, test } from "bun:test";
import { parseSize } from "./sizes.ts";

test("sizes", () => {
  expect(["1024", "1k", "1kb", "2KiB", "1.5m", "1g", "7b", "3 MB"].map(parseSize)).toEqual([
    1024, 1024, 1024, 2048, 1572864, 1073741824, 7, 3145728,
  ]);
  for (const text of ["", "abc", "-1", "1x", "k"]) expect(() => parseSize(text)).toThrow(`invalid size: '${text}'`);
});
