import { isEngineError, messageOf } from "@fathom/base";
import { describe, expect, test } from "bun:test";
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

  test.each([
    ["not json", '"n" at offset 0'],
    ['{"a" 1}', '"1" at offset 5'],
    ["{a:1}", '"a" at offset 1'],
    ["[1 2]", '"2" at offset 3'],
    ['{"a":1]', '"]" at offset 6'],
    ["trux", '"t" at offset 0'],
  ])("a wrong character: %s", (text, where) => expect(refusal(text)).toBe(`invalid JSON: invalid character ${where}`));

  test("deep nesting uses no call stack", () => {
    expect(refusal("[".repeat(200_000))).toBe("invalid JSON: unexpected EOF");
  });
});
