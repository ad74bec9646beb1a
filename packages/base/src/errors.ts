/**
 * The one error type of the engine. A failure that a caller may have to distinguish has a code of a closed union. HTTP statuses, gRPC codes and
 * exit codes are each mapped from that code, in one table at the edge that uses them.
 */

export const errorCodes = [
  /** The request itself is wrong: a bad name, flag, body or combination. */
  "invalid-argument",
  /** The credentials are missing, or the server refused them. */
  "unauthenticated",
  /** The caller may not do this. */
  "forbidden",
  /** The thing named does not exist. */
  "not-found",
  /** The thing exists, but its state (in use, running, name taken) forbids this. */
  "conflict",
  /** The thing is already in the requested state. */
  "not-modified",
  /** Fathom knows this feature but does not have it yet. */
  "not-implemented",
  /** A peer (registry, daemon, supervisor) cannot be reached, or it answered with an error that may pass. */
  "unavailable",
  /** A limit of the engine or of the machine is reached: disk, memory, size of an input. */
  "resource-exhausted",
  /** Stored or received bytes do not match their digest or size. */
  "data-loss",
  /** The caller's AbortSignal fired. */
  "aborted",
  /** A deadline passed. */
  "timeout",
  /** The kernel could not execute the container's program: exit code 126. */
  "not-executable",
  /** The container's program does not exist: exit code 127. */
  "executable-not-found",
  /** A bug, or a fault of the machine that no code above describes. */
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export class EngineError extends Error {
  readonly code: ErrorCode;

  /** @param message Names the action, the value and what the user can do. Users see it unchanged. */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "EngineError";
    this.code = code;
  }
}

/** True when `error` is an EngineError (with this code, if `code` is given). */
export function isEngineError(error: unknown, code?: ErrorCode): error is EngineError {
  return error instanceof EngineError && (code === undefined || error.code === code);
}

/** The first failure. When undoing (`using`, a stack) fails after it, the first failure still decides the code. */
export function firstFailure(error: unknown): unknown {
  let first = error;
  while (first instanceof SuppressedError) first = first.suppressed;
  return first;
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  if (error instanceof SuppressedError)
    return `${messageOf(error.suppressed)}; undoing what was done failed too: ${messageOf(error.error)}`;
  return error instanceof Error ? error.message : String(error);
}

/** Makes an EngineError of any thrown value; an EngineError stays as it is. */
export function asEngineError(error: unknown, code: ErrorCode = "internal"): EngineError {
  if (error instanceof EngineError) return error;
  const first = firstFailure(error);
  return new EngineError(isEngineError(first) ? first.code : code, messageOf(error), { cause: error });
}

/** For exhaustive switches: the types say that no value can reach this. */
export function unreachable(value: never): never {
  throw new EngineError("internal", `unexpected value ${JSON.stringify(value)}`);
}
