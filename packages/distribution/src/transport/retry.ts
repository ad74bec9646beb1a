/** Retries: which failures may be temporary, and how long to wait before the next try. */
import type { Clock } from "@fathom/base";
import { BusyError, TransportError, type RegistryError } from "../errors.ts";

const busyStatuses: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);
const firstDelayMs = 250;
const longestDelayMs = 10_000;
/** Longest wait that a server may ask for. A longer one would look like a hang. */
const longestRetryAfterMs = 60_000;

/**
 * Exponential with jitter: between half of and all of 250 ms · 2^attempt, at most 10 s. The wait is at least Retry-After.
 * @param attempt 0 for the wait after the first failure.
 */
export function delayMs(attempt: number, retryAfterMs: number | undefined, random: () => number = Math.random): number {
  const full = Math.min(firstDelayMs * 2 ** Math.min(attempt, 20), longestDelayMs);
  const jittered = full / 2 + (full / 2) * random();
  return retryAfterMs === undefined ? jittered : Math.max(jittered, Math.min(retryAfterMs, longestRetryAfterMs));
}

export function isBusyStatus(status: number): boolean {
  return busyStatuses.has(status);
}

/** Retry-After: seconds, or an HTTP date. */
function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header.trim()) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

/** The error of an answer. If its status means that the failure may be temporary, a BusyError with the wait of Retry-After. */
export function busyOr(error: RegistryError, headers: Headers, clock: Clock): RegistryError | BusyError {
  if (!isBusyStatus(error.status)) return error;
  const nowMs = Number(clock.nowNs() / 1_000_000n);
  return new BusyError(error, parseRetryAfter(headers.get("retry-after"), nowMs));
}

/** A broken or silent connection is tried again. A refused connection, an unknown host and a TLS error fail at once. */
export function mayPass(error: unknown): boolean {
  if (error instanceof BusyError) return true;
  return error instanceof TransportError && (error.failure === "cut" || error.failure === "idle");
}

/** Runs `action` up to `attempts` times. It throws the last failure; of a BusyError, the RegistryError in it. */
export async function withRetries<T>(
  attempts: number,
  clock: Clock,
  signal: AbortSignal | undefined,
  action: () => Promise<T>,
  passes: (error: unknown) => boolean = mayPass,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await action();
    } catch (error) {
      if (!passes(error) || attempt + 1 >= attempts) throw error instanceof BusyError ? error.last : error;
      await clock.sleep(delayMs(attempt, error instanceof BusyError ? error.retryAfterMs : undefined), signal);
    }
  }
}
