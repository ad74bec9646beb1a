/** docker save: one tar that is both an OCI layout and a docker-archive, as Docker writes it since version 25. */
import { EngineError, isEngineError } from "@fathom/base";
import { TarWriter } from "@fathom/archive";
import {
  canonicalName,
  canonicalString,
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
  type Reference,
} from "@fathom/spec";
import type { HeldImage, ImageTarget } from "@fathom/store";
import { configOf, type ImageContext } from "../context.ts";
import { readStored, type StoredTarget } from "../held-content.ts";
import { findPlatform, isIdPrefix, type FoundPlatform } from "../names/find.ts";
import { publishImage } from "../names/names.ts";
import { manifestOf, type StoredManifest } from "../make/make-image.ts";
import { platformOf } from "../platform.ts";

/** An image of one platform, as manifest.json has it. */
interface Saved {
  readonly id: Digest;
  readonly stored: StoredManifest;
  readonly tags: SavedTag[];
}

interface SavedTag {
  readonly tag: string;
  /** What the tag points to in index.json: the image's manifest, or an index with all platforms and attestations that are stored here. */
  readonly target: ImageTarget;
}

interface Collected {
  readonly images: readonly Saved[];
  /** What indexes have in addition to the images. */
  readonly more: readonly StoredTarget[];
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
async function collect(
  context: ImageContext,
  names: readonly string[],
  platform: Platform | undefined,
): Promise<Collected> {
  const saved = new Map<Digest, Saved>();
  const more = new Map<Digest, StoredTarget>();
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
    const tagged = withDefaultTag(reference);
    const tag = familiarString(tagged);
    if (entry.tags.some((known) => known.tag === tag)) continue;
    const held = platform === undefined ? heldTogether(context, tagged) : undefined;
    const stored = held === undefined ? undefined : await readStored(context.store, held.target, "skip");
    if (held !== undefined && stored !== undefined) more.set(held.target.digest, stored);
    const target = stored === undefined ? undefined : held?.target;
    entry.tags.push({ tag, target: target ?? manifestTarget(entry.stored) });
  }
  return { images: [...saved.values()], more: [...more.values()] };
}

/** The name, when it holds more than one image of one platform. */
function heldTogether({ store }: ImageContext, reference: Reference): HeldImage | undefined {
  const named = store.images.named(canonicalString(reference));
  return named !== undefined && named.images.length + named.content.length > 1 ? named : undefined;
}

function manifestTarget({ raw, mediaType }: StoredManifest): ImageTarget {
  return { mediaType, digest: sha256Digest(raw), size: raw.length };
}

function repositories(images: readonly Saved[]): Record<string, Record<string, string>> {
  const result: Record<string, Record<string, string>> = {};
  for (const { tags, stored } of images)
    for (const { tag } of tags) {
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
  const { images, more } = await collect(context, names, platform);
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
  const blobs = [
    ...images.flatMap(({ stored }) => [stored.config, ...stored.layers]),
    ...more.flatMap(({ configs, layers }) => [...configs, ...layers]),
  ];
  for (const { digest, size } of blobs) {
    if (written.has(digest)) continue;
    written.add(digest);
    tar.entry({ kind: "file", path: blobPath(digest), mode: 0o644, size });
    for await (const chunk of context.store.content.stream(digest)) {
      signal.throwIfAborted();
      tar.data(chunk);
      yield* take();
    }
  }
  const files = [
    ...images.map(({ stored }) => ({ target: manifestTarget(stored), raw: stored.raw })),
    ...more.flatMap((stored) => stored.manifests),
  ];
  for (const { target, raw } of files) {
    if (!written.has(target.digest)) tar.file({ path: blobPath(target.digest), mode: 0o644 }, raw);
    written.add(target.digest);
    yield* take();
  }
  const manifests = images.flatMap(({ stored, tags }) => {
    if (tags.length === 0) return [manifestTarget(stored)];
    return tags.map(({ tag, target: { mediaType, digest, size } }) => ({
      mediaType,
      digest,
      size,
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
      RepoTags: tags.length === 0 ? null : tags.map(({ tag }) => tag),
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
