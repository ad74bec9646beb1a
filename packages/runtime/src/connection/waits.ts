/** Waits of a connection. */

/** Does not keep the process alive. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}

/** Rejects with the signal's reason when it aborts first, after `abort` has been called. */
export async function withAbort<T>(work: Promise<T>, signal: AbortSignal | undefined, abort: () => void): Promise<T> {
  if (signal === undefined) return work;
  const onAbort = (): void => abort();
  if (signal.aborted) abort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    const result = await work;
    // The answer may have been on its way when the signal aborted: what it reports has been ended since then.
    signal.throwIfAborted();
    return result;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
