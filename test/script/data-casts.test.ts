import { expect, test } from "bun:test";
import { castsOnData } from "../../script/data-casts.ts";

test.each([
  "const row = JSON.parse(String(text)) as Row;",
  "const row = JSON.parse(readFileSync(join(a, b), `utf8`)) as unknown as Row;",
  "yield JSON.parse(line)! as T;",
  "const { a } = (await response.json()) as { a: string };",
  "const rows = database.all(sql, f(x)) as Row[];",
  "const row = (this.#database.get(sql)) as Row;",
  "const made = decodeDocument(decoder, value, name) as Made;",
  "const row = JSON.parse(text)\n  as Row;",
  "function f(stored: unknown): Row {\n  return stored as Row;\n}",
  "const parsed: unknown = JSON.parse(text);\nconst { a } = parsed as Record<string, unknown>;",
  "const parsed = JSON.parse(text);\nreturn (parsed) as Row;",
  "const row: Row = JSON.parse(text);",
  "const { a, b } = JSON.parse(text);",
  "const row: Row = await Bun.file(path).json();",
])("an assertion on data from outside is found: %j", (text) => {
  expect(castsOnData(text)).toHaveLength(1);
});

test.each([
  "const row: unknown = JSON.parse(text);",
  "const kinds = parse(text, [`a`] as const);",
  "const value = JSON.parse(text) as unknown;",
  "const row = decoder.decode(JSON.parse(text), path);",
  "// JSON.parse(text) as Row",
  'log("JSON.parse(x) as Row");',
  "const id = text as Id;",
  "const stored: unknown = 1;\nconst id = row.stored as Id;",
  "const value = map.get(key) as Id;",
  'import { decode as read } from "./a.ts";',
  "export function f(value: unknown): value is Row {\n  return isObject(value);\n}",
])("other code is not found: %j", (text) => {
  expect(castsOnData(text)).toEqual([]);
});

test("each line is named once", () => {
  expect(castsOnData("\nconst a = JSON.parse(x) as A;\n\nconst b = JSON.parse(x) as B;\n")).toEqual([2, 4]);
});
