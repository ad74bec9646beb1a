/** The head of an HTTP/1.x request (RFC 9112): request line and fields. Strict where laxness has been used for attacks. */

/** A request that is not HTTP as it should be. The connection ends after the answer. */
export class BadRequestError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "BadRequestError";
    this.status = status;
  }
}

export interface RequestHead {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  /** HTTP/1.0 has no chunked answers and closes by itself. */
  readonly minor: 0 | 1;
  /** Lower-case names; repeated fields joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
}

/** Bytes of a head. A query may be long (the docker CLI puts filters and labels there). */
export const headLimit = 1 << 20;
const fieldLimit = 256;

const requestLine = /^([A-Z]{1,16}) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
const fieldName = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
// eslint-disable-next-line no-control-regex
const badValue = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** @param text The head in Latin-1, without the empty line at its end. @throws BadRequestError */
export function parseHead(text: string): RequestHead {
  const lines = text.split("\r\n");
  const match = requestLine.exec(lines[0] ?? "");
  if (match === null) throw new BadRequestError(400, "malformed HTTP request line");
  if (lines.length - 1 > fieldLimit) throw new BadRequestError(431, `more than ${fieldLimit} header fields`);
  const headers = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? "";
    const colon = line.indexOf(":");
    const name = colon < 0 ? "" : line.slice(0, colon);
    const value = line.slice(colon + 1).trim();
    // A line that starts with a space would continue the one before: obsolete, and read differently by different programs.
    if (!fieldName.test(name) || badValue.test(value)) throw new BadRequestError(400, "malformed HTTP header field");
    const lower = name.toLowerCase();
    const before = headers.get(lower);
    if (before === undefined) headers.set(lower, value);
    else if (lower === "content-length" || lower === "host" || lower === "transfer-encoding") {
      if (before !== value) throw new BadRequestError(400, `conflicting ${lower} header fields`);
    } else headers.set(lower, `${before}, ${value}`);
  }
  const minor = match[3] === "1" ? 1 : 0;
  return { method: match[1] ?? "", target: match[2] ?? "", minor, headers };
}

export type BodyFraming =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" };

/** How the body's end is found (RFC 9112 section 6.3). @throws BadRequestError */
export function bodyFraming(head: RequestHead): BodyFraming {
  const encoding = head.headers.get("transfer-encoding");
  const length = head.headers.get("content-length");
  if (encoding !== undefined) {
    if (length !== undefined) throw new BadRequestError(400, "both Transfer-Encoding and Content-Length are given");
    if (encoding.toLowerCase() !== "chunked" || head.minor === 0)
      throw new BadRequestError(501, `unsupported transfer encoding: ${encoding}`);
    return { kind: "chunked" };
  }
  if (length === undefined) return { kind: "none" };
  const bytes = /^\d{1,15}$/.test(length) ? Number(length) : undefined;
  if (bytes === undefined) throw new BadRequestError(400, "malformed Content-Length");
  return bytes === 0 ? { kind: "none" } : { kind: "length", bytes };
}
