import { expect, test } from "bun:test";
import { isRepository, isTag, isUploadId, matchesPattern } from "./names.ts";

test("repositories and tags of the spec's grammar", () => {
  for (const name of ["a", "a/b", "a.b_c__d-e--f/9", "x".repeat(255)]) expect(isRepository(name)).toBe(true);
  for (const name of ["", "/", "a/", "/a", "a..b", "a___b", "A", "_x", "a/../b", "x".repeat(256), "a\n"])
    expect(isRepository(name)).toBe(false);
  for (const tag of ["a", "_A.b-c", "x".repeat(128)]) expect(isTag(tag)).toBe(true);
  for (const tag of ["", ".a", "-a", "a/b", "x".repeat(129), "a\n"]) expect(isTag(tag)).toBe(false);
});

test("an upload's id is a UUID and never a path", () => {
  expect(isUploadId(crypto.randomUUID())).toBe(true);
  for (const id of ["", "..", "../../x", crypto.randomUUID().toUpperCase()]) expect(isUploadId(id)).toBe(false);
});

test("a star stands for any characters, everything else for itself", () => {
  const cases: readonly [string, string, boolean][] = [
    ["*", "", true],
    ["a/*", "a/b/c", true],
    ["a/*", "b/a/c", false],
    ["a*b*c", "a1b2c", true],
    ["a*b*c", "acb", false],
    ["ab*ba", "aba", false],
    ["a.b", "axb", false],
    ["**", "x", true],
  ];
  for (const [pattern, text, matches] of cases)
    expect([pattern, text, matchesPattern(pattern, text)]).toEqual([pattern, text, matches]);
});
