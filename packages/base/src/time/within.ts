/** Waits with a limit. */
import { systemClock, type Clock } from "./clock.ts";

export interface Patience {
  /** The system's clock when absent. */
  readonly clock?: Clock;
  /** When it aborts, the wait ends as at its limit. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for `work`, at most `ms` (undefined: without a limit). At the limit the result is that of `late`, or its error; `work` goes on, and the
 * caller ends it or leaves it. Rejects as `work`. The timer and the listener of the signal end with the wait.
 */
export async function within<T, L>(
  work: Promise<T>,
  ms: number | undefined,
  late: () => L,
  { clock = systemClock, signal }: Patience = {},
): Promise<T | L> {
  const limit = Promise.withResolvers<"late">();
  const expire = (): void => limit.resolve("late");
  const ended = new AbortController();
  if (signal?.aborted) expire();
  else signal?.addEventListener("abort", expire, { once: true });
  if (ms !== undefined) clock.sleep(ms, ended.signal).then(expire, () => undefined);
  try {
    const outcome = await Promise.race([work.then((result) => ({ result })), limit.promise]);
    return outcome === "late" ? late() : outcome.result;
  } finally {
    ended.abort();
    signal?.removeEventListener("abort", expire);
  }
}

/** True when `work` has ended within `ms`, with a result or with an error. */
export function settlesWithin(work: Promise<unknown>, ms: number | undefined, patience?: Patience): Promise<boolean> {
  const settled = work.then(
    () => true,
    () => true,
  );
  return within(settled, ms, () => false, patience);
}
