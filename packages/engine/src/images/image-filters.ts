/** Docker's filters of images, for lists and prunes. */
import { EngineError, messageOf, parseRfc3339Nano, type Clock } from "@fathom/base";
import type { Images } from "@fathom/images";
import { canonicalName, canonicalString, familiarName, parseReference, type Digest, type Filters } from "@fathom/spec";
import type { ImageRecord, Store } from "@fathom/store";
import type { EngineParts } from "../contract.ts";
import { booleanFilter, checkFilterKeys, filterValues, matchesLabels, prunesLabels } from "../filters/filters.ts";
import { compilePattern } from "../filters/patterns.ts";
import { parseUntil } from "../filters/prune-until.ts";

const listKeys = ["before", "dangling", "label", "reference", "since", "until"];
const pruneKeys = ["dangling", "label", "label!", "until"];

/** Nanoseconds since the epoch; 0 for an image without a date. */
export function createdAt(created: string | undefined): bigint {
  return (created === undefined ? undefined : parseRfc3339Nano(created)) ?? 0n;
}

type FilterParts = Pick<EngineParts, "store" | "clock">;
type Test = (record: ImageRecord) => boolean;

/** The filters of `docker images`, without `reference`. @throws invalid-argument in Docker's words */
export function listFilters({ store, clock }: FilterParts, images: Images, filters: Filters): Test[] {
  checkFilterKeys(filters, listKeys);
  const tests: Test[] = [];
  const dangling = booleanFilter(filters, "dangling");
  if (dangling === true) tests.push(({ id }) => isDangling(store, id) && store.images.children(id).length === 0);
  if (dangling === false) tests.push(({ id }) => store.images.names(id).length > 0);
  const labels = filterValues(filters, "label");
  const labelsOf = (record: ImageRecord) => images.config(record.id).config?.Labels ?? {};
  if (labels.length > 0) tests.push((record) => matchesLabels(labelsOf(record), labels));
  const time = (record: ImageRecord): bigint => createdAt(images.config(record.id).created);
  const until = untilFilter(clock, filters);
  if (until !== undefined) tests.push((record) => time(record) < until);
  const bound = (key: "before" | "since"): bigint | undefined => {
    const name = filterValues(filters, key)[0];
    return name === undefined ? undefined : time(images.find(name));
  };
  const before = bound("before");
  const since = bound("since");
  if (before !== undefined) tests.push((record) => time(record) < before);
  if (since !== undefined) tests.push((record) => time(record) > since);
  return tests;
}

/** Nanoseconds since the epoch. @throws invalid-argument "invalid value for 'until' filter: …" */
function untilFilter(clock: Clock, filters: Filters): bigint | undefined {
  const values = filterValues(filters, "until");
  if (values.length > 1) throw new EngineError("invalid-argument", "more than one until filter specified");
  try {
    return parseUntil(values, clock.nowNs());
  } catch (error) {
    throw new EngineError("invalid-argument", `invalid value for 'until' filter: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Images without a tag. As in Docker, an image that has only a name@digest is also shown as <none>. */
function isDangling(store: Store, id: Digest): boolean {
  return store.images.names(id).every(({ name }) => parseReference(name).digest !== undefined);
}

/** The test of a shown name; undefined without the filter. */
export function referenceFilter(filters: Filters): ((shown: string) => boolean) | undefined {
  const patterns = filterValues(filters, "reference").map(referenceTest);
  return patterns.length === 0 ? undefined : (shown) => patterns.some((matches) => matches(shown));
}

/** The filters of `docker image prune`. @throws invalid-argument in Docker's words */
export function pruneFilter({ store, clock }: FilterParts, images: Images, filters: Filters): Test {
  checkFilterKeys(filters, pruneKeys);
  const danglingOnly = booleanFilter(filters, "dangling") ?? true;
  const until = untilFilter(clock, filters);
  return ({ id }) => {
    if (danglingOnly && !isDangling(store, id)) return false;
    const { created, config } = images.config(id);
    const labels = config?.Labels ?? {};
    if (until !== undefined && createdAt(created) > until) return false;
    return prunesLabels(labels, filters);
  };
}

/**
 * Go's path.Match for the name, with and without its tag or digest, as users write it and with registry and library. "*" and "?" do not match a
 * slash. @throws invalid-argument "syntax error in pattern"
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
