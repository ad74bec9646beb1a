/** The clock. It is passed in, so that tests need not wait. */
import { startTimer } from "./timer.ts";

export interface Clock {
  /** Wall clock in nanoseconds since the epoch, for time stamps. Somebody can set the wall clock, so durations are measured with `monotonicMs`. */
  nowNs(): bigint;
  /** Monotonic clock in milliseconds, for durations. */
  monotonicMs(): number;
  /** Resolves after `ms`. If the signal aborts first, it rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Our clock may differ from the system's by this much. It is more than the time between two reads and less than anybody notices. */
const toleranceMs = 2;

/**
 * The system's wall clock, with the fine steps of the monotonic clock (`dateMs` counts whole milliseconds only). When the system's clock makes a step (NTP,
 * a suspended machine), this clock follows at once. Between two steps it never runs backwards.
 */
export function followWallClock(
  dateMs: () => number,
  monotonicMs: () => number,
  offsetMs: number = dateMs() - monotonicMs(),
): () => bigint {
  return () => {
    const fine = monotonicMs();
    const whole = dateMs();
    const apart = whole - (offsetMs + fine);
    // `dateMs` drops the fraction, so it may be up to one millisecond behind.
    if (apart > toleranceMs || apart < -1 - toleranceMs) offsetMs = whole - fine;
    return BigInt(Math.round((offsetMs + fine) * 1000)) * 1000n;
  };
}

export const systemClock: Clock = {
  nowNs: followWallClock(
    () => Date.now(),
    () => performance.now(),
    performance.timeOrigin,
  ),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const stopTimer = startTimer(done, ms);
      function done(): void {
        signal?.removeEventListener("abort", stop);
        resolve();
      }
      function stop(): void {
        stopTimer();
        reject(signal?.reason);
      }
      signal?.addEventListener("abort", stop, { once: true });
    }),
};

/** Nanoseconds since the epoch as Go's RFC3339Nano in UTC: without trailing zeros in the fraction. */
export function formatRfc3339Nano(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  const fraction = (ns % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "");
  const base = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return fraction === "" ? `${base}Z` : `${base}.${fraction}Z`;
}

/** The reverse of formatRfc3339Nano. It accepts any offset and gives undefined when `text` is no such time. */
export function parseRfc3339Nano(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) return undefined;
  const ms = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((match[2] ?? "").padEnd(9, "0"));
}

/** The zero time of Go, which Docker shows for "never". */
export const zeroTime = "0001-01-01T00:00:00Z";
