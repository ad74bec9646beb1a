/** Waits with a limit. */

/** Does not keep the process alive; an abort ends it early, without an error. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    timer.unref();
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

/** Resolves with `end`, or after `ms`. Never rejects unless `end` does. */
export async function endWithin(end: Promise<unknown>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([
    end,
    new Promise((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
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
