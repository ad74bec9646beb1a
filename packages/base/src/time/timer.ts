/** Timers of any length. A timer of the runtime holds at most 2^31 - 1 ms (less than 25 days); a longer one fires at once. */

const longestMs = 2 ** 31 - 1;

export interface TimerSource<Handle> {
  start(action: () => void, ms: number): Handle;
  stop(handle: Handle): void;
}

const runtimeTimers: TimerSource<ReturnType<typeof setTimeout>> = {
  start: (action, ms) => setTimeout(action, ms),
  stop: (handle) => clearTimeout(handle),
};

/** Calls `action` after `ms`, unless somebody calls the result first. */
export function startTimer(action: () => void, ms: number): () => void;
export function startTimer<Handle>(action: () => void, ms: number, source: TimerSource<Handle>): () => void;
export function startTimer(action: () => void, ms: number, source: TimerSource<unknown> = runtimeTimers): () => void {
  let leftMs = ms;
  let handle: unknown;
  const go = (): void => {
    const partMs = Math.min(leftMs, longestMs);
    leftMs -= partMs;
    handle = source.start(leftMs > 0 ? go : action, partMs);
  };
  go();
  return () => source.stop(handle);
}

/**
 * How long an idle daemon waits before it next does a check that it does about every `everyMs`; at least `leastMs`. All checks use the same
 * moments: the daemon wakes once for all of them, and can then release the memory that they mapped.
 */
export function untilLook(everyMs: number, nowMs: number, leastMs: number = everyMs / 2): number {
  const leftMs = everyMs - (nowMs % everyMs);
  return leftMs < leastMs ? leftMs + everyMs : leftMs;
}
