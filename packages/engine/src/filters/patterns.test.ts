import { expect, test } from "bun:test";
import { compilePattern, nameTest } from "./patterns.ts";

test("patterns are RE2 and match anywhere in the text", () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["web", "my-web-1", true],
    ["^web", "my-web-1", false],
    ["^/?web$", "/web", true],
    ["^web$", "web", true],
    ["^$", "", true],
    ["1$", "web1", true],
    ["^alpine:3\\.20$", "alpine:3.20", true],
    ["^alpine:3\\.20$", "alpine:3x20", false],
    ["^(a|b)\\d+$", "b12", true],
    ["(?i)WEB", "web", true],
    ["\\pL+", "ä", true],
  ];
  for (const [pattern, text, found] of cases)
    expect([pattern, compilePattern(pattern)(text)]).toEqual([pattern, found]);
});

test("the error for an invalid pattern has Go's words", () => {
  expect(() => compilePattern("(")).toThrow("error parsing regexp: missing closing ): `(`");
  expect(() => compilePattern("(?=a)")).toThrow("error parsing regexp: invalid or unsupported Perl syntax: `(?=`");
});

test("every pattern has a limited cost", () => {
  const text = `${"a".repeat(5000)}b`;
  // The runtime's own engine would never finish with this one.
  expect(compilePattern("^(a+)+$")(text)).toBe(false);
  expect(() => compilePattern("a".repeat(2000).concat("."))).toThrow("expression too large");
  expect(() => compilePattern("(a{0,1000}b?)(a{0,1000}b?)(a{0,1000}b?)$")).toThrow("expression too large");
  const slow = compilePattern("(a{0,400}b?)$");
  expect(() => {
    for (let turn = 0; turn < 1000; turn++) slow(text);
  }).toThrow("expression too large");
});

test("an invalid pattern of a name filter is plain text", () => {
  expect(["a(b", "ab"].map(nameTest("(b"))).toEqual([true, false]);
  expect(["web1", "web"].map(nameTest("^web\\d$"))).toEqual([true, false]);
});
