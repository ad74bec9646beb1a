/**
 * Garbage collection while the registry serves. Within one repository it marks what the manifests name and unlinks the other blobs; then it
 * removes stored bytes without any link. Whatever a client touched within the grace period stays: a push uploads blobs before the manifest that
 * needs them.
 */
import type { Logger } from "@fathom/base";
import type { Digest } from "@fathom/spec";
import type { ManifestRow, RegistryStore } from "../contract.ts";

export interface CollectOptions {
  readonly store: RegistryStore;
  /** Younger blobs and uploads stay. */
  readonly graceMs: number;
  /** Uploads that got no byte for so long end. */
  readonly uploadMs: number;
  /** Manifests without a tag, that no index names and that are about no kept manifest, go after this time; undefined: they stay. */
  readonly untaggedMs?: number | undefined;
  /** How many tags a repository keeps, the newest first; undefined: all. */
  readonly tagsKept?: (repository: string) => number | undefined;
  /** Tags that never go. */
  readonly isImmutable?: (repository: string, tag: string) => boolean;
  /** Nothing is removed. */
  readonly dryRun: boolean;
  readonly logger: Logger;
  readonly now?: () => number;
  readonly signal?: AbortSignal;
}

export interface Collected {
  readonly tags: number;
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly uploads: number;
}

export async function collect(options: CollectOptions): Promise<Collected> {
  const { store, graceMs, uploadMs, dryRun, logger, signal, now = Date.now } = options;
  const begin = now();
  const counts = { tags: 0, manifests: 0, links: 0, blobs: 0, bytes: 0, uploads: 0 };
  /** With all digests that must stay. */
  const kept = new Set<Digest>();
  for (const repository of await store.repositories()) {
    signal?.throwIfAborted();
    await store.exclusively(repository, async () => {
      const result = await collectRepository(repository, options, begin, kept);
      counts.tags += result.tags;
      counts.manifests += result.manifests;
      counts.links += result.links;
    });
  }
  for await (const { digest, bytes, touchedMs } of store.blobs()) {
    signal?.throwIfAborted();
    if (kept.has(digest) || touchedMs >= begin - graceMs) continue;
    if (!dryRun && !(await store.removeBlob(digest, begin - graceMs))) continue;
    logger.info(dryRun ? "would remove a blob" : "removed a blob", { digest, bytes });
    counts.blobs++;
    counts.bytes += bytes;
  }
  if (!dryRun) counts.uploads = await store.removeUploads(begin - uploadMs);
  return counts;
}

async function collectRepository(
  repository: string,
  options: CollectOptions,
  begin: number,
  kept: Set<Digest>,
): Promise<{ tags: number; manifests: number; links: number }> {
  const { store, graceMs, untaggedMs, dryRun, logger } = options;
  const oldTags = await tagsToRemove(repository, options);
  for (const tag of oldTags) {
    logger.info(dryRun ? "would remove a tag" : "removed a tag", { repository, tag });
    if (!dryRun) await store.deleteTag(repository, tag);
  }
  const rows = await store.manifests(repository);
  const old =
    untaggedMs === undefined ? [] : await unusedManifests(store, repository, rows, oldTags, begin - untaggedMs);
  for (const { digest } of old) {
    logger.info(dryRun ? "would remove an untagged manifest" : "removed an untagged manifest", { repository, digest });
    if (!dryRun) await store.deleteManifest(repository, digest);
  }
  const gone = new Set(old.map(({ digest }) => digest));
  const used = new Set<Digest>();
  for (const row of rows) {
    if (gone.has(row.digest)) continue;
    kept.add(row.digest);
    for (const digest of row.references) used.add(digest);
  }
  let links = 0;
  for (const { digest, touchedMs } of await store.blobLinks(repository)) {
    const unused = !used.has(digest) && touchedMs < begin - graceMs;
    if (unused && (dryRun || (await store.unlinkBlob(repository, digest, begin - graceMs)))) links++;
    else kept.add(digest);
  }
  return { tags: oldTags.size, manifests: old.length, links };
}

/** Those beyond the number that stays, the oldest ones. */
async function tagsToRemove(
  repository: string,
  { store, tagsKept, isImmutable }: CollectOptions,
): Promise<ReadonlySet<string>> {
  const kept = tagsKept?.(repository);
  if (kept === undefined) return new Set();
  const found: { readonly tag: string; readonly pushedAtMs: number }[] = [];
  for (const tag of await store.tags(repository)) {
    const row = await store.findTag(repository, tag);
    if (row !== undefined && isImmutable?.(repository, tag) !== true) found.push({ tag, pushedAtMs: row.pushedAtMs });
  }
  const newestFirst = found.toSorted((a, b) => b.pushedAtMs - a.pushedAtMs);
  return new Set(newestFirst.slice(kept).map(({ tag }) => tag));
}

/** In rounds, because an index that goes frees its manifests, and a manifest that goes frees those about it. */
async function unusedManifests(
  store: RegistryStore,
  repository: string,
  rows: readonly ManifestRow[],
  ignoredTags: ReadonlySet<string>,
  pushedBeforeMs: number,
): Promise<ManifestRow[]> {
  const roots = new Set<Digest>();
  for (const tag of await store.tags(repository)) {
    const row = ignoredTags.has(tag) ? undefined : await store.findTag(repository, tag);
    if (row !== undefined) roots.add(row.digest);
  }
  const byDigest = new Map(rows.map((row) => [row.digest, row]));
  const live = new Set<Digest>();
  const waiting: Digest[] = [
    ...roots,
    ...rows.filter((row) => row.pushedAtMs >= pushedBeforeMs).map(({ digest }) => digest),
  ];
  const about = Map.groupBy(rows, ({ subject }) => subject);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (live.has(next)) continue;
    live.add(next);
    waiting.push(...(byDigest.get(next)?.references ?? []), ...(about.get(next) ?? []).map(({ digest }) => digest));
  }
  return rows.filter(({ digest }) => !live.has(digest));
}
