import { describe, expect, test } from "bun:test";
import { parseFilters } from "./filters.ts";

describe("parseFilters", () => {
  test.each([
    ['{"label":["a","b"]}', { label: ["a", "b"] }],
    ['{"label":{"a":true,"b":true}}', { label: ["a", "b"] }],
    ['{"label":{"a":true,"b":false}}', { label: ["a", "b"] }],
    ['{"label":["a","a"],"x":[]}', { label: ["a"], x: [] }],
    ["", {}],
    ["{}", {}],
    ["null", {}],
  ])("%s", (text, filters) => expect({ ...parseFilters(text) }).toEqual(filters));

  test.each(["{", "[]", '"x"', '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}', '{"a":[["b"]]}'])("refuses %s", (text) =>
    expect(parseFilters(text)).toBeUndefined(),
  );

  test("a key that Object also has is an ordinary key", () => {
    const filters = parseFilters('{"__proto__":["x"],"constructor":["y"]}');
    expect(Object.keys(filters ?? {})).toEqual(["__proto__", "constructor"]);
  });
});
