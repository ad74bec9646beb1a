/** docker save: one tar that is both an OCI layout and a docker-archive, as Docker writes it since version 25. */
import { EngineError, isEngineError } from "@fathom/base";
import { TarWriter } from "@fathom/archive";
import {
  canonicalName,
  familiarName,
  familiarString,
  formatPlatform,
  mediaTypes,
  parseReference,
  sha256Digest,
  tryParseReference,
  withDefaultTag,
  type Digest,
  type Platform,
} from "@fathom/spec";
import { configOf, type ImageContext } from "../context.ts";
import { findPlatform, isIdPrefix, type FoundPlatform } from "../names/find.ts";
import { publishImage } from "../names/names.ts";
import { manifestOf, type StoredManifest } from "../make/make-image.ts";
import { platformOf } from "../platform.ts";

interface Saved {
  readonly id: Digest;
  readonly stored: StoredManifest;
  readonly tags: string[];
}

/** A repository without a tag means all its tags; any other name means only itself. */
function tagsOf(context: ImageContext, name: string): string[] {
  const reference = tryParseReference(name);
  if (reference === undefined || reference.tag !== undefined || reference.digest !== undefined) return [name];
  const repository = canonicalName(reference);
  const tags = context.store.images
    .names()
    .map((one) => parseReference(one.name))
    .filter((one) => one.digest === undefined && canonicalName(one) === repository);
  return tags.length === 0 ? [name] : tags.map((tag) => familiarString(tag));
}

/** @throws not-found "reference does not exist", before the first byte */
function collect(context: ImageContext, names: readonly string[], platform: Platform | undefined): Saved[] {
  const saved = new Map<Digest, Saved>();
  for (const name of names.flatMap((name) => tagsOf(context, name))) {
    let found: FoundPlatform;
    try {
      found = findPlatform(context, name, platform);
    } catch (error) {
      if (!isEngineError(error, "not-found")) throw error;
      const given = tryParseReference(name);
      const exact = given?.tag !== undefined || given?.digest !== undefined;
      throw new EngineError("not-found", exact ? "reference does not exist" : `No such image: ${name}`, {
        cause: error,
      });
    }
    if (found.wanted === undefined)
      throw new EngineError(
        "not-found",
        `no suitable export target found for platform ${formatPlatform(platform!)}: ${name} is an image for ${formatPlatform(platformOf(configOf(context, found.shown.id)))}`,
      );
    const { id } = found.wanted;
    const entry = saved.get(id) ?? { id, stored: manifestOf(context, id, name), tags: [] };
    saved.set(id, entry);
    const reference = tryParseReference(name);
    if (isIdPrefix(context, id, name) || reference === undefined || reference.digest !== undefined) continue;
    const tag = familiarString(withDefaultTag(reference));
    if (!entry.tags.includes(tag)) entry.tags.push(tag);
  }
  return [...saved.values()];
}

function repositories(images: readonly Saved[]): Record<string, Record<string, string>> {
  const result: Record<string, Record<string, string>> = {};
  for (const { tags, stored } of images)
    for (const tag of tags) {
      const reference = tryParseReference(tag)!;
      (result[familiarName(reference)] ??= {})[reference.tag ?? "latest"] =
        stored.layers.at(-1)?.digest.slice("sha256:".length) ?? "";
    }
  return result;
}

const blobPath = (digest: Digest): string => `blobs/${digest.replace(":", "/")}`;

export async function* saveImages(
  context: ImageContext,
  names: readonly string[],
  platform: Platform | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const images = collect(context, names, platform);
  let queue: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => queue.push(chunk));
  const take = (): Uint8Array[] => {
    const chunks = queue;
    queue = [];
    return chunks;
  };
  const text = (path: string, value: unknown): void =>
    tar.file({ path, mode: 0o644 }, Buffer.from(JSON.stringify(value)));
  for (const path of ["blobs/", "blobs/sha256/"]) tar.entry({ kind: "directory", path, mode: 0o755 });
  const written = new Set<Digest>();
  for (const { stored } of images) {
    for (const { digest, size } of [stored.config, ...stored.layers]) {
      if (written.has(digest)) continue;
      written.add(digest);
      tar.entry({ kind: "file", path: blobPath(digest), mode: 0o644, size });
      for await (const chunk of context.store.content.stream(digest)) {
        signal.throwIfAborted();
        tar.data(chunk);
        yield* take();
      }
    }
  }
  const manifests = images.flatMap(({ stored, tags }) => {
    const digest = sha256Digest(stored.raw);
    if (!written.has(digest)) tar.file({ path: blobPath(digest), mode: 0o644 }, stored.raw);
    written.add(digest);
    const descriptor = { mediaType: stored.mediaType, digest, size: stored.raw.length };
    if (tags.length === 0) return [descriptor];
    return tags.map((tag) => ({
      ...descriptor,
      annotations: {
        "io.containerd.image.name": fullName(tag),
        "org.opencontainers.image.ref.name": tag.slice(tag.lastIndexOf(":") + 1),
      },
    }));
  });
  text("index.json", { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  text(
    "manifest.json",
    images.map(({ id, stored, tags }) => ({
      Config: blobPath(id),
      RepoTags: tags.length === 0 ? null : tags,
      Layers: stored.layers.map(({ digest }) => blobPath(digest)),
    })),
  );
  text("oci-layout", { imageLayoutVersion: "1.0.0" });
  text("repositories", repositories(images));
  tar.finish();
  yield* take();
  for (const { id } of images) publishImage(context, "save", id, id);
}

function fullName(tag: string): string {
  const reference = tryParseReference(tag)!;
  return `${reference.registry}/${reference.repository}:${reference.tag ?? "latest"}`;
}
