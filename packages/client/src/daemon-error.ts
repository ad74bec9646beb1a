/** Errors that the daemon answers, each with its HTTP status. */
import { EngineError, type ErrorCode } from "@fathom/base";

export class DaemonError extends EngineError {
  /** The HTTP status. */
  readonly status: number;
  constructor(status: number, message: string) {
    super(codeOf(status), message);
    this.status = status;
  }
}

function codeOf(status: number): ErrorCode {
  switch (status) {
    case 304:
      return "not-modified";
    case 400:
      return "invalid-argument";
    case 401:
      return "unauthenticated";
    case 403:
      return "forbidden";
    case 404:
      return "not-found";
    case 409:
      return "conflict";
    case 501:
      return "not-implemented";
    case 503:
      return "unavailable";
    default:
      return "internal";
  }
}

/** The message in an error's body: Docker's JSON, or the text of a proxy. */
export function messageIn(text: string): string {
  try {
    const parsed: unknown = JSON.parse(text);
    if (parsed !== null && typeof parsed === "object" && "message" in parsed) return String(parsed.message);
  } catch {
    // A proxy or an old daemon may answer in plain text.
  }
  return text.trim() === "" ? "the daemon gave no reason" : text.trim();
}
