/** Bearer tokens that this registry signs and reads itself (JWT with HS256). */
import { decodeDocument, exact, list, omittable, oneOf, parseJson, text, wholeNumber } from "@fathom/spec";
import { createHmac, timingSafeEqual } from "node:crypto";
import { actions, type Action } from "./access.ts";

export interface TokenRight {
  readonly repository: string;
  readonly actions: readonly Action[];
}

export interface TokenContent {
  readonly user?: string;
  readonly rights: readonly TokenRight[];
  /** Seconds since 1970. */
  readonly expires: number;
}

const content = exact<TokenContent>({
  user: omittable(text),
  rights: list(exact<TokenRight>({ repository: text, actions: list(oneOf(actions)) }), 100),
  expires: wholeNumber,
});

const head = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url");
const maxTokenBytes = 64 * 1024;

function signatureOf(key: Uint8Array, signed: string): Buffer {
  return createHmac("sha256", key).update(signed).digest();
}

export function signToken(key: Uint8Array, token: TokenContent): string {
  const signed = `${head}.${Buffer.from(JSON.stringify(token)).toString("base64url")}`;
  return `${signed}.${signatureOf(key, signed).toString("base64url")}`;
}

/** undefined for a token of another key, a changed one, and one that has expired. */
export function readToken(key: Uint8Array, token: string, nowMs: number): TokenContent | undefined {
  if (token.length > maxTokenBytes) return undefined;
  const [first, body, signature, ...rest] = token.split(".");
  if (first !== head || body === undefined || signature === undefined || rest.length > 0) return undefined;
  const expected = signatureOf(key, `${first}.${body}`);
  const given = Buffer.from(signature, "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const read = decodeDocument(content, parseJson(Buffer.from(body, "base64url"), "token", maxTokenBytes), "token");
  return read.expires * 1000 > nowMs ? read : undefined;
}

/** "repository:team/app:pull,push", several with spaces between. Other kinds of scopes are left out. */
export function readScopes(scopes: readonly string[]): TokenRight[] {
  const rights: TokenRight[] = [];
  for (const scope of scopes.flatMap((one) => one.split(" ")).slice(0, 100)) {
    const match = /^repository(?:\([^)]*\))?:([^:]+):([a-z*,]+)$/.exec(scope);
    if (match === null) continue;
    const words = match[2]!.split(",");
    rights.push({
      repository: match[1]!,
      actions: actions.filter((action) => words.includes(action) || words.includes("*")),
    });
  }
  return rights;
}
