/** The lines of a message's head (RFC 9112): request line, status line, fields. The parser is strict where tolerant parsers have been attacked. */
import { HttpError } from "./http-error.ts";

/** Common to both directions. */
export interface MessageHead {
  /** HTTP/1.0 has no chunks and closes by default. */
  readonly minor: 0 | 1;
  /** Lower-case names; repeated fields joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
}

export interface RequestLine {
  readonly method: string;
  /** Path and query as received, without the scheme and the authority of an absolute form. */
  readonly target: string;
  /** From a target in absolute form: it replaces the field Host (RFC 9112 section 3.2.2). */
  readonly authority: string | undefined;
  readonly minor: 0 | 1;
}

export interface RequestHead extends MessageHead {
  readonly method: string;
  readonly target: string;
}

export interface StatusLine {
  readonly status: number;
  readonly minor: 0 | 1;
}

export interface ResponseHead extends MessageHead {
  readonly status: number;
}

const requestLine = /^([A-Z]{1,16}) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
const absoluteForm = /^https?:\/\/([^/?#]+)(.*)$/i;
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const fieldName = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
/** Spaces and tabs around a value do not belong to it. Other white space does; control characters are rejected below. */
const outerSpace = /^[ \t]+|[ \t]+$/g;
// eslint-disable-next-line no-control-regex
const badValue = /[\u0000-\u0008\u000a-\u001f\u007f]/;

function version(digit: string | undefined): 0 | 1 {
  return digit === "1" ? 1 : 0;
}

/** @param line In Latin-1, without its end. @throws HttpError */
export function parseRequestLine(line: string): RequestLine {
  const match = requestLine.exec(line);
  if (match === null) throw new HttpError(400, "malformed HTTP request line");
  const [, method = "", target = "", minor] = match;
  if (target.startsWith("/")) return { method, target, authority: undefined, minor: version(minor) };
  const absolute = absoluteForm.exec(target);
  if (absolute === null) return { method, target, authority: undefined, minor: version(minor) };
  const [, authority, rest = ""] = absolute;
  return { method, target: rest.startsWith("/") ? rest : `/${rest}`, authority, minor: version(minor) };
}

/** Characters that Go's net/http accepts in Host: those of names, addresses and ports, and the others of RFC 3986 section 3.2.2. */
const hostValue = /^[\dA-Za-z!$%&'()*+,\-.:;=[\]_~]*$/;

/**
 * The field Host, in the words of Go's net/http (RFC 9112 section 3.2): a request of HTTP/1.1 must have it, also when its target has an
 * authority. It may be empty.
 * @throws HttpError
 */
export function checkHost({ minor }: RequestLine, headers: ReadonlyMap<string, string>): void {
  const host = headers.get("host");
  if (host === undefined && minor === 1) throw new HttpError(400, "400 Bad Request: missing required Host header");
  if (host !== undefined && !hostValue.test(host)) throw new HttpError(400, "400 Bad Request: malformed Host header");
}

/** @param line In Latin-1, without its end. @throws HttpError */
export function parseStatusLine(line: string): StatusLine {
  const match = statusLine.exec(line);
  if (match === null) throw new HttpError(400, "malformed HTTP status line");
  return { status: Number(match[2]), minor: version(match[1]) };
}

/** Adds a field to the earlier ones. @throws HttpError */
export function addField(headers: Map<string, string>, line: string): void {
  const colon = line.indexOf(":");
  const name = colon < 0 ? "" : line.slice(0, colon);
  const value = line.slice(colon + 1).replace(outerSpace, "");
  // A line that starts with a space would continue the previous one: this is obsolete, and programs read it differently.
  if (!fieldName.test(name) || badValue.test(value)) throw new HttpError(400, "malformed HTTP header field");
  const lower = name.toLowerCase();
  const before = headers.get(lower);
  if (before === undefined) headers.set(lower, value);
  else if (lower === "host") throw new HttpError(400, "400 Bad Request: too many Host headers");
  else if (lower === "content-length") {
    if (before !== value) throw new HttpError(400, "conflicting content-length header fields");
  } else headers.set(lower, `${before}, ${value}`);
}
