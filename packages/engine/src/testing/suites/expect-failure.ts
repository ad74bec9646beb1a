/** Expectations about failures, for the suites. */
import { expect } from "bun:test";
import { isEngineError, type ErrorCode } from "@fathom/base";

/** The call was made and rejects, with this code and a message that contains these words. A call that throws at once is an error of the test. */
export async function expectFailure(call: PromiseLike<unknown>, code: ErrorCode, words = ""): Promise<void> {
  const failure: unknown = await call.then(
    () => new Error("the call did not fail"),
    (error: unknown) => error,
  );
  if (!isEngineError(failure)) throw failure;
  expect([failure.code, failure.message]).toEqual([code, expect.stringContaining(words)]);
}

/** The first value of a stream; then the stream is closed. */
export async function first<T>(stream: AsyncIterable<T>): Promise<T | undefined> {
  for await (const value of stream) return value;
  return undefined;
}
