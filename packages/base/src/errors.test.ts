import { expect, test } from "bun:test";
import { asEngineError, EngineError, firstFailure, messageOf } from "./errors.ts";

const fail = (message: string) => (): never => {
  throw new Error(message);
};
const original = new EngineError("conflict", "name is taken");

/** The ways in which work and its undoing fail together. */
const ways: Readonly<Record<string, () => Promise<void>>> = {
  using: async () => {
    using _ = { [Symbol.dispose]: fail("link stays") };
    throw original;
  },
  "await using": async () => {
    await using _ = { [Symbol.asyncDispose]: async () => fail("link stays")() };
    throw original;
  },
  "a stack": async () => {
    await using stack = new AsyncDisposableStack();
    stack.defer(fail("link stays"));
    throw original;
  },
};

test.each(Object.entries(ways))("%s: what failed first counts, and what was left is said", async (_, way) => {
  const error: unknown = await way().catch((reason: unknown) => reason);
  expect(error).not.toBe(original);
  expect(firstFailure(error)).toBe(original);
  expect(messageOf(error)).toBe("name is taken; undoing what was done failed too: link stays");
  const wrapped = asEngineError(error);
  expect([wrapped.code, wrapped.message]).toEqual(["conflict", messageOf(error)]);
});

test("two things that cannot be undone", async () => {
  const error: unknown = await (async () => {
    await using stack = new AsyncDisposableStack();
    stack.defer(fail("link stays"));
    stack.defer(fail("mount stays"));
    throw original;
  })().catch((reason: unknown) => reason);
  expect(firstFailure(error)).toBe(original);
  expect(messageOf(error)).toBe(
    "name is taken; undoing what was done failed too: mount stays; undoing what was done failed too: link stays",
  );
});

test("what is not suppressed is as it was", () => {
  expect(firstFailure(original)).toBe(original);
  expect(asEngineError(original)).toBe(original);
  expect([messageOf(original), messageOf("text")]).toEqual(["name is taken", "text"]);
});
