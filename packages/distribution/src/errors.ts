/** Failures of a registry: reads its JSON errors (distribution-spec, "Error Codes"), maps statuses, and shows URLs without secrets. */
import { EngineError, type ErrorCode } from "@fathom/base";
import { isObject } from "@fathom/spec";

/** The reason why a registry rejected a request. The engine turns some of these into the sentences that clients know. */
export type RegistryReason =
  | "manifest-unknown"
  | "name-unknown"
  | "blob-unknown"
  | "denied"
  | "unauthorized"
  | "no-credentials"
  | "too-many-requests"
  | "unsupported"
  | "other";

/** The registry answered with an error. `message` is the registry's sentence in Docker's form ("manifest unknown: manifest unknown"). */
export class RegistryError extends EngineError {
  readonly reason: RegistryReason;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  constructor(code: ErrorCode, reason: RegistryReason, status: number, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
    this.reason = reason;
    this.status = status;
  }
}

/** How a transfer failed before or between answers. */
export type TransportFailure = "connect" | "lookup" | "tls" | "not-tls" | "cut" | "idle";

/** No usable answer came. */
export class TransportError extends EngineError {
  readonly failure: TransportFailure;
  constructor(failure: TransportFailure, message: string, options?: { cause?: unknown }) {
    super("unavailable", message, options);
    this.failure = failure;
  }
}

/** An answer that may change at another try (429, 5xx). It never leaves this package: after the last try it becomes a RegistryError. */
export class BusyError extends Error {
  readonly last: RegistryError;
  /** The wait that Retry-After asks for, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  constructor(last: RegistryError, retryAfterMs: number | undefined) {
    super(last.message, { cause: last });
    this.last = last;
    this.retryAfterMs = retryAfterMs;
  }
}

/** A URL for messages and logs, without its query (signatures of storage services) and user info. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

const reasons: Readonly<Record<string, RegistryReason>> = {
  MANIFEST_UNKNOWN: "manifest-unknown",
  NAME_UNKNOWN: "name-unknown",
  BLOB_UNKNOWN: "blob-unknown",
  DENIED: "denied",
  UNAUTHORIZED: "unauthorized",
  TOOMANYREQUESTS: "too-many-requests",
  UNSUPPORTED: "unsupported",
};

function codeOf(reason: RegistryReason, status: number): ErrorCode {
  switch (reason) {
    case "manifest-unknown":
    case "name-unknown":
    case "blob-unknown":
      return "not-found";
    case "denied":
    case "unauthorized":
    case "no-credentials":
      return "unauthenticated";
    case "too-many-requests":
      return "unavailable";
    default:
      if (status === 401 || status === 403) return "unauthenticated";
      if (status === 404) return "not-found";
      return status >= 500 || status === 429 ? "unavailable" : "invalid-argument";
  }
}

/** Makes a text of a server safe for users: printable, one line, limited length. */
export function cleaned(text: string, limit = 500): string {
  return text
    .replace(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, limit);
}

function firstError(body: string): { code: string; message: string } | undefined {
  try {
    const answer: unknown = JSON.parse(body);
    const errors = isObject(answer) ? answer["errors"] : undefined;
    const [first] = Array.isArray(errors) ? errors : [];
    if (!isObject(first) || typeof first["code"] !== "string") return undefined;
    const message = typeof first["message"] === "string" ? cleaned(first["message"]) : "";
    return { code: cleaned(first["code"], 64), message };
  } catch {
    return undefined;
  }
}

/**
 * The error for an answer of status 400 and above.
 * @param scopeError `error` of a Bearer challenge (RFC 6750 section 3.1): "insufficient_scope" is a denial.
 */
export function errorOfAnswer(
  method: string,
  url: URL,
  status: number,
  body: string,
  scopeError: string | undefined = undefined,
): RegistryError {
  if (scopeError === "insufficient_scope")
    return new RegistryError("unauthenticated", "denied", status, "denied: requested access to the resource is denied");
  const said = firstError(body);
  if (said !== undefined) {
    const reason = reasons[said.code] ?? "other";
    const words = said.code.toLowerCase().replaceAll("_", " ");
    return new RegistryError(
      codeOf(reason, status),
      reason,
      status,
      said.message === "" ? words : `${words}: ${said.message}`,
    );
  }
  if (status === 401)
    return new RegistryError("unauthenticated", "unauthorized", status, "unauthorized: authentication required");
  if (status === 429)
    return new RegistryError("unavailable", "too-many-requests", status, `toomanyrequests: ${shownUrl(url)}`);
  return new RegistryError(
    codeOf("other", status),
    "other",
    status,
    `unexpected status from ${method} request to ${shownUrl(url)}: ${status}${body === "" ? "" : ` (${cleaned(body, 120)})`}`,
  );
}
