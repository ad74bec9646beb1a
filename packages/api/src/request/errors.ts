/** Error codes to HTTP statuses: the only table. */
import { firstFailure, isEngineError, messageOf, type ErrorCode } from "@fathom/base";
import { HttpError } from "@fathom/http";
import { isSysError } from "@fathom/sys";

const statuses: Readonly<Record<ErrorCode, number>> = {
  "invalid-argument": 400,
  unauthenticated: 401,
  forbidden: 403,
  "not-found": 404,
  conflict: 409,
  "not-modified": 304,
  "not-implemented": 501,
  unavailable: 503,
  "resource-exhausted": 500,
  "data-loss": 500,
  aborted: 500,
  timeout: 500,
  // For Docker, a program that cannot run is an error of the request; clients find 126 and 127 in the message.
  "not-executable": 400,
  "executable-not-found": 400,
  internal: 500,
};

export function statusOf(thrown: unknown): number {
  const error = firstFailure(thrown);
  if (isEngineError(error) && !(error.code === "internal" && lacksDescriptors(error))) return statuses[error.code];
  if (error instanceof HttpError) return error.status;
  // Only names from a client can be too long for the kernel, or be loops of links.
  if (isSysError(error, "ENAMETOOLONG", "ELOOP")) return 400;
  return lacksDescriptors(error) ? 503 : 500;
}

/** The daemon or the machine has none left: the client may repeat its request. */
function lacksDescriptors(error: unknown): boolean {
  for (let one = firstFailure(error); one instanceof Error; one = one.cause)
    if (isSysError(one, "EMFILE", "ENFILE") || ("code" in one && ["EMFILE", "ENFILE"].includes(String(one.code))))
      return true;
  return false;
}

/** Body of an error answer. */
export function errorBody(error: unknown): { message: string } {
  const message = messageOf(error);
  return {
    message: lacksDescriptors(error)
      ? `${message}: the daemon has no free descriptors; try again, or raise its limit (LimitNOFILE, ulimit -n)`
      : message,
  };
}

/** The line that ends a JSON stream after an error. */
export function errorLine(error: unknown): { errorDetail: { message: string }; error: string } {
  const { message } = errorBody(error);
  return { errorDetail: { message }, error: message };
}
