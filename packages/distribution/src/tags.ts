/** The tags of a repository: a list that a registry sends in pages. */
import { EngineError } from "@fathom/base";
import { decodeDocument, exact, list, optional, parseJson, text, type Reference } from "@fathom/spec";
import type { Session } from "./session.ts";

const maxPageBytes = 4 * 1024 * 1024;
const maxPages = 1000;
const maxTags = 100_000;

/** Some registries send null for no tags. */
const tagList = exact<{ readonly tags?: readonly string[] | undefined }>({ tags: optional(list(text)) });

/** In the registry's order. @throws invalid-argument for a list that is malformed or too long: a part of it would look like all of it */
export async function listTags(session: Session, reference: Reference, signal?: AbortSignal): Promise<string[]> {
  const name = `the list of tags of ${reference.registry}/${reference.repository}`;
  const tags: string[] = [];
  let path: string | URL = `${reference.repository}/tags/list`;
  for (let page = 0; page < maxPages; page++) {
    const answer = await session.request({ method: "GET", path, signal });
    const raw = await answer.bytes(maxPageBytes);
    const found = decodeDocument(tagList, parseJson(raw, name, maxPageBytes), name).tags ?? [];
    if (tags.length + found.length > maxTags)
      throw new EngineError("invalid-argument", `${name} has more than ${maxTags} tags: name the tag that you want`);
    for (const tag of found) tags.push(tag);
    const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.headers.get("link") ?? "")?.[1];
    const url = next === undefined ? null : URL.parse(next, answer.url.href);
    if (url === null || url.origin !== answer.url.origin) return tags;
    path = url;
  }
  throw new EngineError("invalid-argument", `${name} has more than ${maxPages} pages: name the tag that you want`);
}
