import { isEngineError, messageOf } from "@fathom/base";
import { describe, expect, test } from "bun:test";
import { WrittenNumber } from "../../decode/go.ts";
import { parseJsonText } from "./json-text.ts";

function refusal(text: string): string {
  try {
    parseJsonText(text);
  } catch (error) {
    expect(isEngineError(error, "invalid-argument")).toBe(true);
    return messageOf(error);
  }
  return "accepted";
}

describe("parseJsonText", () => {
  test("the result is the same as JSON.parse's", () => {
    expect(parseJsonText(' {"a":[1,null,"x"]} \n')).toEqual({ a: [1, null, "x"] });
  });

  test.each(["", "  \n"])("nothing there: %j", (text) => expect(refusal(text)).toBe("invalid JSON: EOF"));

  test.each([
    "{",
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    "[",
    "[1,",
    '"abc',
    '"a\\',
    '"a\\u00',
    "tru",
    "-",
    "1.",
    '{"a":[{"b":fal',
  ])("cut short: %s", (text) => expect(refusal(text)).toBe("invalid JSON: unexpected EOF"));

  test.each(["{}{}", '{"Image":"busybox"}{}', "1 2", '[] "x"', "{} x"])("more than one value: %s", (text) =>
    expect(refusal(text)).toBe("unexpected content after JSON"),
  );

  // These are dockerd's answers.
  test.each([
    ["not json", "'o' in literal null (expecting 'u')"],
    ["trux", "'x' in literal true (expecting 'e')"],
    ["falsy", "'y' in literal false (expecting 'e')"],
    ["x", "'x' looking for beginning of value"],
    ["[1,]", "']' looking for beginning of value"],
    ['{"a":}', "'}' looking for beginning of value"],
    ["{,}", "',' looking for beginning of object key string"],
    ['{"a":1,}', "'}' looking for beginning of object key string"],
    ["{'a':1}", "'\\'' looking for beginning of object key string"],
    ['{"a" 1}', "'1' after object key"],
    ['{"a":1]', "']' after object key:value pair"],
    ['{"a":01}', "'1' after object key:value pair"],
    ["[1 2]", "'2' after array element"],
    ['{"a":-}', "'}' in numeric literal"],
    ['{"a":1.}', "'}' after decimal point in numeric literal"],
    ['{"a":1e}', "'}' in exponent of numeric literal"],
    ['"\u0001"', "'\\x01' in string literal"],
    ['"a\n"', "'\\n' in string literal"],
    ['"\\x"', "'x' in string escape code"],
    ['"\\u12"', "'\"' in \\u hexadecimal character escape"],
    ["\u{feff}{}", "'ï' looking for beginning of value"],
    ["[\\", "'\\\\' looking for beginning of value"],
  ])("a wrong character: %j", (text, where) => expect(refusal(text)).toBe(`invalid JSON: invalid character ${where}`));

  test("numbers that Go reads by the way they are written", () => {
    const written = (source: string) => new WrittenNumber(source);
    const text = '{"a":[1e3,1.50,-12345678901234567,12,-1],"b":"1e3"}';
    expect(parseJsonText(text)).toEqual({
      a: [written("1e3"), written("1.50"), written("-12345678901234567"), 12, -1],
      b: "1e3",
    });
  });

  test("deep nesting uses no call stack", () => {
    expect(refusal("[".repeat(10_000))).toBe("invalid JSON: unexpected EOF");
    expect(refusal("[".repeat(200_000))).toBe("invalid JSON: invalid character '[' exceeded max depth");
  });
});
