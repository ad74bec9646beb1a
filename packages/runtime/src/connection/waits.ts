/** Waits of a connection. */
import { settlesWithin } from "@fathom/base";

/** After SIGKILL. A process ends within moments, unless it is in an uninterruptible call of the kernel. */
export const killLimitMs = 5000;

/** Does not keep the process alive. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}

/**
 * Waits for the end of a connection whose other process was killed. A process in an uninterruptible call of the kernel keeps its descriptors
 * until that call returns, so this end is closed after a while.
 * @returns whether the other process has ended it
 */
export async function endOrClose(connection: { readonly closed: Promise<unknown>; close(): void }): Promise<boolean> {
  const ended = await settlesWithin(connection.closed, killLimitMs);
  connection.close();
  return ended;
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
