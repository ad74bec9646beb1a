/**
 * The one error type of the engine. Every failure that a caller may have to tell apart carries a code of a closed
 * union; HTTP statuses, gRPC codes and exit codes are each mapped from it in one table at their edge.
 */

export const errorCodes = [
  /** The request itself is wrong: a bad name, flag, body or combination. */
  "invalid-argument",
  /** Credentials are missing or were refused. */
  "unauthenticated",
  /** The caller may not do this. */
  "forbidden",
  /** The thing named does not exist. */
  "not-found",
  /** The thing exists, but its state (in use, running, name taken) forbids this. */
  "conflict",
  /** The thing is already in the state asked for. */
  "not-modified",
  /** Known, and not built yet. */
  "not-implemented",
  /** A peer (registry, daemon, supervisor) cannot be reached or answered with a fault that may pass. */
  "unavailable",
  /** A limit of the engine or the machine was reached: disk, memory, size of an input. */
  "resource-exhausted",
  /** Stored or received bytes are not what their digest or size says. */
  "data-loss",
  /** The caller's AbortSignal fired. */
  "aborted",
  /** A deadline passed. */
  "timeout",
  /** A container's program could not be executed: exit code 126. */
  "not-executable",
  /** A container's program was not found: exit code 127. */
  "executable-not-found",
  /** A bug, or a fault of the machine that nothing above names. */
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export class EngineError extends Error {
  readonly code: ErrorCode;

  /**
   * @param message Names the action and the value, and the way out. It is shown to users as it stands.
   */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "EngineError";
    this.code = code;
  }
}

/** True when `error` is an EngineError, of the given code if one is named. */
export function isEngineError(error: unknown, code?: ErrorCode): error is EngineError {
  return error instanceof EngineError && (code === undefined || error.code === code);
}

/** What failed first, where the undoing of what was done (`using`, a stack) failed after it: that one decides. */
export function firstFailure(error: unknown): unknown {
  let first = error;
  while (first instanceof SuppressedError) first = first.suppressed;
  return first;
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof SuppressedError)
    return `${messageOf(error.suppressed)}; undoing what was done failed too: ${messageOf(error.error)}`;
  return error instanceof Error ? error.message : String(error);
}

/** Wraps anything thrown as an EngineError, keeping one that already is. */
export function asEngineError(error: unknown, code: ErrorCode = "internal"): EngineError {
  if (error instanceof EngineError) return error;
  const first = firstFailure(error);
  return new EngineError(isEngineError(first) ? first.code : code, messageOf(error), { cause: error });
}

/** For exhaustive switches: a value that the types say cannot be here. */
export function unreachable(value: never): never {
  throw new EngineError("internal", `unexpected value ${JSON.stringify(value)}`);
}
