/** The rule that finds the end of a message's body (RFC 9112 section 6.3). */
import type { MessageHead, RequestHead, ResponseHead } from "./head.ts";
import { HttpError } from "./http-error.ts";

export type BodyFraming =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  /** Only for answers: the body ends with the connection. */
  | { readonly kind: "until-end" };

/** What the fields say; undefined when they say nothing. @throws HttpError when two programs could read them differently */
function declaredFraming(head: MessageHead): BodyFraming | undefined {
  const encoding = head.headers.get("transfer-encoding");
  const length = head.headers.get("content-length");
  if (encoding !== undefined) {
    if (length !== undefined) throw new HttpError(400, "both Transfer-Encoding and Content-Length are given");
    if (encoding.toLowerCase() !== "chunked" || head.minor === 0)
      throw new HttpError(501, `unsupported transfer encoding: ${encoding}`);
    return { kind: "chunked" };
  }
  if (length === undefined) return undefined;
  if (!/^\d{1,15}$/.test(length)) throw new HttpError(400, "malformed Content-Length");
  const bytes = Number(length);
  return bytes === 0 ? { kind: "none" } : { kind: "length", bytes };
}

/** @throws HttpError */
export function requestFraming(head: RequestHead): BodyFraming {
  return declaredFraming(head) ?? { kind: "none" };
}

/** @param method The method of the answered request. @throws HttpError */
export function responseFraming(head: ResponseHead, method: string): BodyFraming {
  const { status } = head;
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return { kind: "none" };
  return declaredFraming(head) ?? { kind: "until-end" };
}
