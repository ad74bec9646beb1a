import { EngineError } from "@fathom/base";
import { expect, test } from "bun:test";
import { decodeDocument, optional, unsigned, type Decoder } from "./decoder.ts";
import { exact, list, matching, omittable, oneOf, orElse, record, text, uint64 } from "./exact.ts";

interface Example {
  readonly name: string;
  readonly size?: number;
  readonly kind: "a" | "b";
  readonly tags?: readonly string[];
  readonly more?: Readonly<Record<string, string>>;
}

const example = exact<Example>({
  name: matching(/^[a-z]+$/, "must be made of small letters"),
  size: omittable(unsigned(9)),
  kind: orElse(oneOf(["a", "b"]), "a"),
  tags: optional(list(text, 2)),
  more: optional(record(text)),
});

function messageOf<T>(decoder: Decoder<T>, value: unknown): string {
  try {
    decodeDocument(decoder, value, "example.json");
  } catch (error) {
    if (error instanceof EngineError && error.code === "invalid-argument") return error.message;
    throw error;
  }
  return "";
}

test("unknown members are dropped, missing members are left out or filled, keys match exactly", () => {
  expect(decodeDocument(example, { name: "x", Name: 1, other: 2, tags: null, kind: null }, "")).toEqual({
    name: "x",
    kind: "a",
  });
  expect(messageOf(example, { Name: "x" })).toBe("example.json: name: expected a string, got nothing");
  expect(messageOf(example, { name: "x", size: null })).toBe("example.json: size: expected a whole number, got null");
});

test("a key that the writer chose stays a key, whatever its name", () => {
  const value: unknown = JSON.parse('{"name":"x","more":{"__proto__":"p","constructor":"c"}}');
  const { more } = decodeDocument(example, value, "");
  expect(Object.entries(more!)).toEqual([
    ["__proto__", "p"],
    ["constructor", "c"],
  ]);
  expect(messageOf(example, JSON.parse('{"__proto__":{"name":"x"}}'))).toContain("name: ");
  expect(messageOf(example, Object.create({ name: "x" }))).toContain("name: ");
});

test("a message names each wrong member, up to five", () => {
  expect(messageOf(example, { name: "X", size: 10, kind: "c", tags: ["a", 1] })).toBe(
    'example.json: name: must be made of small letters; size: 10 is not between 0 and 9; kind: expected one of "a", "b", got "c"; ' +
      "tags[1]: expected a string, got a number",
  );
  const many = messageOf(list(text), [1, 2, 3, 4, 5, 6, 7]);
  expect(many).toContain("[4]: expected a string, got a number; and more");
  expect(many).not.toContain("[5]");
  expect(messageOf(list(text), [1, 2, 3, 4, 5])).not.toContain("more");
  expect(messageOf(example, [])).toBe("example.json: the document: expected an object, got an array");
});

test("the decoder stops early in a list of wrong items", () => {
  let looked = 0;
  const counting: Decoder<string> = {
    zero: undefined,
    decode(value, path) {
      looked++;
      return text.decode(value, path);
    },
  };
  expect(messageOf(list(list(counting)), [Array.from({ length: 10_000 }, () => 1), [1]])).toContain("and more");
  expect(looked).toBe(6);
});

test("a list has a limit", () => {
  expect(messageOf(example, { name: "x", tags: ["a", "b"] })).toBe("");
  expect(messageOf(example, { name: "x", tags: ["a", "b", "c"] })).toBe(
    "example.json: tags: has 3 entries, more than the limit of 2",
  );
});

test("two documents do not share the value of a missing member", () => {
  const lists = exact<{ names: string[] }>({ names: orElse(list(text), []) });
  decodeDocument(lists, {}, "").names.push("a");
  expect(decodeDocument(lists, {}, "")).toEqual({ names: [] });
});

test("64-bit numbers are numbers or bigints; fractions and texts are rejected", () => {
  for (const good of [0, 2 ** 53 - 1, 2n ** 64n]) expect(messageOf(uint64, good)).toBe("");
  for (const bad of [-1, -1n, 0.5, 2 ** 53, Number.NaN, "1", null, true]) expect(messageOf(uint64, bad)).not.toBe("");
});
