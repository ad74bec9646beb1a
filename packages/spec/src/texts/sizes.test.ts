import { expect, test } from "bun:test";
import { bytesSize, humanSize, parseSize } from "./sizes.ts";

test("sizes", () => {
  const sizes = ["1024", "1k", "1kb", "2KiB", "1.5m", "1g", "7b", "3 MB", ".5k", "1.k", "1e3", "2T", "0"].map((text) =>
    parseSize(text),
  );
  expect(sizes).toEqual(
    [1024, 1024, 1024, 2048, 1572864, 1073741824, 7, 3145728, 512, 1024, 1000, 2 ** 41, 0].map((bytes) => ({ bytes })),
  );
});

test("log files are counted in powers of 1000", () => {
  expect(["10m", "1KiB", "20k", "5"].map((text) => parseSize(text, 1000))).toEqual(
    [10_000_000, 1000, 20_000, 5].map((bytes) => ({ bytes })),
  );
});

test("texts that are no size give the messages of go-units", () => {
  for (const text of ["", "abc", "-1", "k"]) expect(parseSize(text)).toEqual({ wrong: `invalid size: '${text}'` });
  expect(parseSize("1x")).toEqual({ wrong: "invalid suffix: 'x'" });
  expect(parseSize("1.2.3m")).toEqual({ wrong: 'strconv.ParseFloat: parsing "1.2.3": invalid syntax' });
  expect(parseSize("1e999")).toEqual({ wrong: 'strconv.ParseFloat: parsing "1e999": value out of range' });
});

test("sizes are shown as go-units shows them", () => {
  expect(humanSize(0)).toBe("0B");
  expect(humanSize(999)).toBe("999B");
  expect(humanSize(4_261_502)).toBe("4.262MB");
  expect(humanSize(4_261_502, 3)).toBe("4.26MB");
  expect(humanSize(1_000_000_000)).toBe("1GB");
  expect(bytesSize(25_165_824)).toBe("24MiB");
});
