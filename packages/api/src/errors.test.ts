import { expect, test } from "bun:test";
import { EngineError } from "@fathom/base";
import { errorBody, statusOf } from "./errors.ts";

test("the status of work whose undoing failed too is that of the work", async () => {
  const error: unknown = await (async () => {
    using _ = {
      [Symbol.dispose]: () => {
        throw new Error("link stays");
      },
    };
    throw new EngineError("not-found", "no such thing");
  })().catch((reason: unknown) => reason);
  expect(statusOf(error)).toBe(404);
  expect(errorBody(error).message).toStartWith("no such thing");
});
