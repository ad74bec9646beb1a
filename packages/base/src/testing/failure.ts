/** For tests: the error that a call must end with. */

/** @throws when the promise fulfils, or rejects with something that is not an Error */
export async function failureOf(
  promise: Promise<unknown>,
): Promise<Error & { readonly code?: unknown; readonly reason?: unknown }> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("it did not fail");
}
