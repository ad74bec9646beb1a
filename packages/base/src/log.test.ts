import { expect, test } from "bun:test";
import { createLogger } from "./log.ts";

test("levels, fields and children", () => {
  const lines: string[] = [];
  const logger = createLogger("info", { write: (line) => lines.push(line) }).child({ container: "abc" });
  logger.debug("not seen");
  logger.warn("two\nlines", { error: new Error("bad thing"), count: 3 });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^time="[^"]+" level=warn msg="two\\nlines" container=abc error="bad thing" count=3\n$/);
});

test("JSON lines", () => {
  const lines: string[] = [];
  createLogger("info", { write: (line) => lines.push(line) }, "json").info("hello", { a: 1 });
  expect(JSON.parse(lines[0]!)).toMatchObject({ a: 1, level: "info", msg: "hello" });
});
