/** Failures as the suites look at them. */
import { expect } from "bun:test";
import { isEngineError, type ErrorCode } from "@fathom/base";

/** The call was made and rejects, with this code and a message that has these words. What a call throws at once is no answer of a promise. */
export async function expectFailure(call: PromiseLike<unknown>, code: ErrorCode, words = ""): Promise<void> {
  const failure: unknown = await call.then(
    () => new Error("the call did not fail"),
    (error: unknown) => error,
  );
  if (!isEngineError(failure)) throw failure;
  expect([failure.code, failure.message]).toEqual([code, expect.stringContaining(words)]);
}

/** The first value of a stream; the stream ends there. */
export async function first<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const value of stream) return value;
  return undefined;
}
