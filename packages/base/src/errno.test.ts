import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { EngineError } from "./errors.ts";
import { errnoOf, isErrno } from "./errno.ts";

function thrown(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

test("errnoOf returns the kernel's name of an error, and undefined for codes that only look like such a name", () => {
  const missing = thrown(() => readFileSync("/nowhere/at/all"));
  expect(errnoOf(missing)).toBe("ENOENT");
  expect(errnoOf(Object.assign(new Error("a call"), { errnoName: "EBUSY", code: "internal" }))).toBe("EBUSY");
  expect(errnoOf(new EngineError("not-found", "no such thing"))).toBeUndefined();
  expect([errnoOf(undefined), errnoOf("ENOENT"), errnoOf({ code: "ENOENT" })]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect([isErrno(missing, "EACCES", "ENOENT"), isErrno(missing, "EACCES"), isErrno(missing)]).toEqual([
    true,
    false,
    false,
  ]);
});
