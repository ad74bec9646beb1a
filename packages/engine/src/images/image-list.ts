/** docker images: which, and what is shown of each. */
import { EngineError, messageOf, parseRfc3339Nano } from "@fathom/base";
import {
  canonicalName,
  canonicalString,
  familiarName,
  parseReference,
  type Digest,
  type Filters,
  type ImageSummary,
} from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import { checkFilterKeys, filterValues, matchesLabels } from "../filters.ts";
import { compilePattern } from "../patterns.ts";
import { parseUntil } from "../prune-until.ts";
import { configOf, findImage, namesOf, type ImageContext } from "./image-context.ts";

export interface ImageListRequest {
  readonly all: boolean;
  readonly digests: boolean;
  readonly sharedSize: boolean;
  readonly filters: Filters;
  readonly manifests: boolean;
}

const filterKeys = ["before", "dangling", "label", "reference", "since", "until"];

export function listImages(context: ImageContext, request: ImageListRequest): ImageSummary[] {
  const { filters } = request;
  checkFilterKeys(filters, filterKeys);
  const tests = compileFilters(context, filters);
  const patterns = filterValues(filters, "reference").map(referenceTest);
  const shared = request.sharedSize ? layerUsers(context) : undefined;
  const summaries: { readonly createdNs: bigint; readonly summary: ImageSummary }[] = [];
  for (const record of context.store.images.list()) {
    if (!tests.every((test) => test(record))) continue;
    const names = namesOf(context, record.id);
    if (patterns.length > 0) {
      const keep = (shown: string): boolean => patterns.some((matches) => matches(shown));
      names.RepoTags.splice(0, Infinity, ...names.RepoTags.filter(keep));
      names.RepoDigests.splice(0, Infinity, ...names.RepoDigests.filter(keep));
      if (names.RepoTags.length === 0 && names.RepoDigests.length === 0) continue;
    }
    // What is only there because another image was committed over it.
    if (!request.all && isIntermediate(context, record.id)) continue;
    const config = configOf(context, record.id);
    const createdNs = createdAt(config.created);
    summaries.push({
      createdNs,
      summary: {
        Containers: context.uses.ofImage(record.id).length,
        Created: Number(createdNs / 1_000_000_000n),
        Id: record.id,
        Labels: config.config?.Labels ?? null,
        ParentId: record.parent ?? "",
        ...names,
        SharedSize: shared === undefined ? -1 : sharedSize(context, record, shared),
        Size: record.size,
      },
    });
  }
  return summaries.sort((a, b) => (a.createdNs < b.createdNs ? 1 : -1)).map(({ summary }) => summary);
}

/** Nanoseconds since the epoch; 0 for an image that does not say. */
export function createdAt(created: string | undefined): bigint {
  return (created === undefined ? undefined : parseRfc3339Nano(created)) ?? 0n;
}

type Test = (record: ImageRecord) => boolean;

function compileFilters(context: ImageContext, filters: Filters): Test[] {
  const tests: Test[] = [];
  const dangling = booleanFilter(filters, "dangling");
  if (dangling === true)
    tests.push(({ id }) => isDangling(context, id) && context.store.images.children(id).length === 0);
  if (dangling === false) tests.push(({ id }) => context.store.images.references(id).length > 0);
  const labels = filterValues(filters, "label");
  const labelsOf = (record: ImageRecord) => configOf(context, record.id).config?.Labels ?? {};
  if (labels.length > 0) tests.push((record) => matchesLabels(labelsOf(record), labels));
  const time = (record: ImageRecord): bigint => createdAt(configOf(context, record.id).created);
  const until = untilFilter(context, filters);
  if (until !== undefined) tests.push((record) => time(record) < until);
  const bound = (key: "before" | "since"): bigint | undefined => {
    const name = filterValues(filters, key)[0];
    return name === undefined ? undefined : time(findImage(context, name));
  };
  const before = bound("before");
  const since = bound("since");
  if (before !== undefined) tests.push((record) => time(record) < before);
  if (since !== undefined) tests.push((record) => time(record) > since);
  return tests;
}

/** Nanoseconds since the epoch. @throws invalid-argument "invalid value for 'until' filter: …" */
export function untilFilter(context: ImageContext, filters: Filters): bigint | undefined {
  const values = filterValues(filters, "until");
  if (values.length > 1) throw new EngineError("invalid-argument", "more than one until filter specified");
  try {
    return parseUntil(values, context.clock.nowNs());
  } catch (error) {
    throw new EngineError("invalid-argument", `invalid value for 'until' filter: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** @throws invalid-argument "invalid filter 'dangling=[perhaps]'" */
export function booleanFilter(filters: Filters, key: string): boolean | undefined {
  const values = filterValues(filters, key);
  if (values.length === 0) return undefined;
  if (values.length === 1 && /^(1|t|true)$/i.test(values[0]!)) return true;
  if (values.length === 1 && /^(0|f|false)$/i.test(values[0]!)) return false;
  throw new EngineError("invalid-argument", `invalid filter '${key}=[${values.join(" ")}]'`);
}

/** Without a tag. A name@digest alone keeps an image from being shown as <none> no more than in Docker. */
export function isDangling(context: ImageContext, id: Digest): boolean {
  return context.store.images.references(id).every(({ name }) => parseReference(name).digest !== undefined);
}

function isIntermediate(context: ImageContext, id: Digest): boolean {
  const { images } = context.store;
  return images.references(id).length === 0 && images.children(id).length > 0;
}

/**
 * Go's path.Match over the name, with and without its tag or digest, as users write it and with registry and library: "*" and "?" do not
 * go over a slash. @throws invalid-argument "syntax error in pattern"
 */
function referenceTest(pattern: string): (shown: string) => boolean {
  const expression = globExpression(pattern);
  return (shown) => {
    const reference = parseReference(shown);
    const forms = [shown, familiarName(reference), canonicalString(reference), canonicalName(reference)];
    return forms.some((form) => expression(form));
  };
}

function globExpression(pattern: string): (text: string) => boolean {
  let text = "";
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === "*") text += "[^/]*";
    else if (c === "?") text += "[^/]";
    else if (c === "[") {
      const end = pattern.indexOf("]", i + 1);
      if (end < 0) throw new EngineError("invalid-argument", "syntax error in pattern");
      text += `[${pattern.slice(i + 1, end).replaceAll("\\", "\\\\")}]`;
      i = end;
    } else if (c === "\\" && i + 1 < pattern.length) text += escapeExpression(pattern[++i]!);
    else text += escapeExpression(c);
  }
  return compilePattern(`^${text}$`);
}

function escapeExpression(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** How many images have each layer. */
function layerUsers(context: ImageContext): Map<string, number> {
  const users = new Map<string, number>();
  for (const record of context.store.images.list())
    for (const layer of record.layers) users.set(layer, (users.get(layer) ?? 0) + 1);
  return users;
}

function sharedSize(context: ImageContext, record: ImageRecord, users: ReadonlyMap<string, number>): number {
  return record.layers.reduce(
    (sum, layer) => sum + ((users.get(layer) ?? 0) > 1 ? (context.store.layers.get(layer)?.size ?? 0) : 0),
    0,
  );
}
