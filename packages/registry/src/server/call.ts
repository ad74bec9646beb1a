/** One request on its way to its route. */
import type { Exchange, Response } from "@fathom/http";
import { isDigest, type Digest } from "@fathom/spec";
import type { Principal } from "../access/access.ts";
import type { RegistryStore } from "../contract.ts";
import type { Mirror } from "../mirror/mirror.ts";
import { Refusal } from "./refusal.ts";

export interface Policies {
  /** Whether a tag of a repository keeps its first manifest. */
  isImmutable(repository: string, tag: string): boolean;
  /** Bytes that one repository may have; undefined: no limit. */
  quotaOf(repository: string): number | undefined;
}

export interface Call {
  readonly store: RegistryStore;
  readonly policies: Policies;
  /** Present when this registry is a cache of another one. */
  readonly mirror: Mirror | undefined;
  readonly principal: Principal;
  readonly exchange: Exchange;
  readonly response: Response;
  readonly query: URLSearchParams;
  readonly now: () => number;
}

/** What a route did, for the audit log. */
export interface Done {
  readonly action: string;
  readonly reference?: string;
  readonly digest?: Digest;
}

/** @throws Refusal DIGEST_INVALID */
export function digestOf(text: string | null): Digest {
  if (text === null || !isDigest(text))
    throw new Refusal(
      "DIGEST_INVALID",
      `invalid digest ${JSON.stringify(text ?? "")}: expected sha256:HEX or sha512:HEX`,
    );
  return text;
}

/** Answers 304 when the client has it already. */
export function answeredByEtag({ exchange, response }: Call, digest: Digest): boolean {
  const etag = `"${digest}"`;
  response.header("ETag", etag);
  const known = exchange.head.headers.get("if-none-match");
  if (known === undefined) return false;
  const matches = known.split(",").some((one) => [etag, "*", digest].includes(one.trim().replace(/^W\//, "")));
  if (matches) response.empty(304);
  return matches;
}

export interface Page {
  readonly items: readonly string[];
  /** Where the next one begins. */
  readonly last: string | undefined;
}

/** Without `n` all items are one page. @throws Refusal PAGINATION_NUMBER_INVALID */
export function pageOf(items: readonly string[], query: URLSearchParams): Page {
  const last = query.get("last");
  const rest = last === null ? items : items.filter((item) => item > last);
  const text = query.get("n");
  if (text === null) return { items: rest, last: undefined };
  if (!/^\d{1,15}$/.test(text))
    throw new Refusal("PAGINATION_NUMBER_INVALID", `invalid number of results ${JSON.stringify(text)}`);
  const page = rest.slice(0, Number(text));
  return { items: page, last: page.length > 0 && page.length < rest.length ? page.at(-1) : undefined };
}

export function linkToNext(response: Response, path: string, query: Readonly<Record<string, string>>): void {
  response.header("Link", `<${path}?${new URLSearchParams(query)}>; rel="next"`);
}
