import { expect, test } from "bun:test";
import { asEngineError, EngineError, firstFailure, messageOf } from "./errors.ts";

const fail = (message: string) => (): never => {
  throw new Error(message);
};
const original = new EngineError("conflict", "name is taken");

/** Work can fail, and then undoing the work can fail too. Two ways to write that. */
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

test.each(Object.entries(ways))(
  "%s: the first failure decides the code, and the message also names the failed undo",
  async (_, way) => {
    const error: unknown = await way().catch((reason: unknown) => reason);
    expect(error).not.toBe(original);
    expect(firstFailure(error)).toBe(original);
    expect(messageOf(error)).toBe("name is taken; undoing what was done failed too: link stays");
    const wrapped = asEngineError(error);
    expect([wrapped.code, wrapped.message]).toEqual(["conflict", messageOf(error)]);
  },
);

test("two undo steps that both fail", async () => {
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

test("an error with nothing suppressed stays as it is", () => {
  expect(firstFailure(original)).toBe(original);
  expect(asEngineError(original)).toBe(original);
  expect([messageOf(original), messageOf("text")]).toEqual(["name is taken", "text"]);
});
