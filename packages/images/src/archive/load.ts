/**
 * docker load: a docker-archive (manifest.json) or an OCI layout (index.json), compressed or not. The archive's files are spooled under
 * numbers of ours, so its names never become paths; nothing of a broken archive stays.
 */
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { EngineError, isEngineError, messageOf } from "@fathom/base";
import { createDecompressor, nameText, TarReader } from "@fathom/archive";
import {
  canonicalString,
  chainIds,
  parseImageConfig,
  parseManifest,
  sha256Digest,
  tryParseReference,
  withDigest,
  type Descriptor,
  type Digest,
  type DiffId,
  type ParsedManifest,
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  pickPlatform,
  platformMatches,
  type Platform,
  type Reference,
} from "@fathom/spec";
import type { LoadEvent } from "../contract.ts";
import { platformOf } from "../platform.ts";
import type { ContentInfo, Lease } from "@fathom/store";
import { parseRepositoryTag, publishImage, setName } from "../names/names.ts";
import { writeAll } from "../workers/file-jobs.ts";
import { underLease, type ImageContext } from "../context.ts";
import {
  diffIdOfFile,
  importBlob,
  layerMediaType,
  makeManifest,
  putImageRow,
  unpackLayerFile,
  type NewImageRow,
} from "../make/make-image.ts";

const smallFileLimit = 8 * 1024 * 1024;
/** Of all descriptions of an archive together. */
const descriptionsLimit = 32 * 1024 * 1024;
const maxFiles = 20_000;
/** Images and descriptions that lead to some. */
const maxImages = 4_000;

interface Source {
  readonly config: Uint8Array;
  readonly layers: readonly string[];
  /** With a tag, or with a digest that is one of the manifests'. */
  readonly names: readonly Reference[];
  /** What came along and has to stay byte for byte: the image's own, then the index that its name gives the digest of. */
  readonly manifests: readonly Uint8Array[];
}

/** @throws invalid-argument for what is no image archive, data-loss for a layer that is not what the config says */
export async function* loadImages(
  context: ImageContext,
  body: AsyncIterable<Uint8Array>,
  platform: Platform | undefined,
  signal: AbortSignal,
): AsyncGenerator<LoadEvent> {
  using work = context.workDirectory();
  const events = await underLease(context, "load", async (lease) => {
    const files = await spool(work.path, body, signal);
    const blobs: Blobs = new Map();
    // All of them first: an archive that breaks at its second image leaves nothing of the first either.
    const loaded: Loaded[] = [];
    /** Descriptions that are stored: many images may share one. */
    const stored = new Map<Uint8Array, Digest>();
    const put = (raw: Uint8Array): Digest => {
      const digest = stored.get(raw) ?? context.store.content.put(raw, lease).digest;
      stored.set(raw, digest);
      return digest;
    };
    for (const source of await sourcesOf(files, platform)) {
      const layers = await loadLayers(context, source, blobs, lease, signal);
      // Written to the disk one by one: the transaction below only writes rows.
      const id = put(source.config);
      const manifests =
        source.manifests.length > 0 ? source.manifests.map(put) : [makeManifest(context, id, layers, lease)];
      loaded.push({ id, layers, manifests, names: source.names });
      await new Promise((resolve) => setImmediate(resolve));
    }
    signal.throwIfAborted();
    const events: LoadEvent[] = [];
    context.store.database.transaction(() => {
      for (const image of loaded) events.push(...storeImage(context, image, lease));
    });
    return events;
  });
  yield* events;
}

/** Files that have become blobs: they are no longer where they were. */
type Blobs = Map<string, ContentInfo>;

interface Loaded extends NewImageRow {
  readonly names: readonly Reference[];
}

/** Row and names of an image whose layers are there; gives an event for each of its names. */
function storeImage(context: ImageContext, image: Loaded, lease: Lease): LoadEvent[] {
  const { id, names } = image;
  putImageRow(context, image, lease);
  publishImage(context, "load", id, id);
  if (names.length === 0) return [{ kind: "loaded", image: id, name: undefined, replaced: undefined }];
  return names.map((name): LoadEvent => {
    const before = context.store.images.reference(canonicalString(name))?.image;
    setName(context, id, name);
    return { kind: "loaded", image: id, name, replaced: before === id ? undefined : before };
  });
}

async function loadLayers(
  context: ImageContext,
  source: Source,
  blobs: Blobs,
  lease: Lease,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const diffIds = parseImageConfig(source.config).rootfs.diff_ids;
  if (diffIds.length !== source.layers.length)
    throw new EngineError(
      "invalid-argument",
      `invalid manifest, layers length mismatch: expected ${source.layers.length}, got ${diffIds.length}`,
    );
  const chain = chainIds(diffIds);
  const layers: Descriptor[] = [];
  for (const [index, file] of source.layers.entries()) {
    signal.throwIfAborted();
    const known = blobs.get(file);
    const path = known === undefined ? file : context.store.content.path(known.digest);
    const diffId = diffIds[index]!;
    // A layer that is here already is not unpacked, but its file becomes a blob of the image, so it has to be what it says.
    if (context.store.layers.hold(chain[index]!, lease)) {
      const actual = await diffIdOfFile(path);
      if (actual !== diffId) throw wrongDiffId(index, diffId, actual);
    } else {
      try {
        await unpackLayerFile(context, path, chain[index - 1], diffId, lease, signal);
      } catch (error) {
        if (!isEngineError(error, "data-loss")) throw error;
        throw wrongDiffId(index, diffId, await diffIdOfFile(path), error);
      }
    }
    const mediaType = layerMediaType(path);
    const blob = known ?? (await importBlob(context, file, lease, signal));
    blobs.set(file, blob);
    layers.push({ mediaType, ...blob });
  }
  return layers;
}

function wrongDiffId(index: number, expected: DiffId, actual: DiffId, cause?: unknown): EngineError {
  const message = `invalid diffID for layer ${index}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`;
  return new EngineError("data-loss", message, { cause });
}

type Files = ReadonlyMap<string, string>;

async function spool(work: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Files> {
  const files = new Map<string, string>();
  const links: (readonly [string, string])[] = [];
  let fd = -1;
  const reader = new TarReader({
    entry: (entry) => {
      const name = posix.normalize(`/${nameText(entry.path)}`).slice(1);
      if (entry.kind === "file") {
        if (files.size >= maxFiles)
          throw new EngineError("invalid-argument", `the archive has more than ${maxFiles} files`);
        const path = join(work, String(files.size));
        files.set(name, path);
        fd = openSync(path, "wx", 0o600);
      } else if (entry.kind === "symlink" || entry.kind === "hardlink") {
        const target = nameText(entry.linkPath);
        links.push([
          name,
          entry.kind === "symlink" ? posix.join(posix.dirname(name), target) : posix.normalize(target),
        ]);
      }
    },
    data: (chunk, offset) => {
      writeAll(fd, chunk, "write the archive", offset);
    },
    end: () => {
      if (fd >= 0) closeSync(fd);
      fd = -1;
    },
  });
  try {
    const decompressor = createDecompressor("auto", (chunk) => reader.push(chunk));
    for await (const chunk of body) {
      signal.throwIfAborted();
      await decompressor.write(chunk);
    }
    await decompressor.finish();
    reader.finish();
  } finally {
    if (fd >= 0) closeSync(fd);
  }
  for (const [name, target] of links) {
    const path = files.get(target);
    if (path !== undefined) files.set(name, path);
  }
  return files;
}

function fileOf(files: Files, name: string): string {
  const path = files.get(posix.normalize(name));
  if (path === undefined) throw new EngineError("invalid-argument", `the archive has no file ${JSON.stringify(name)}`);
  return path;
}

/** The archive's descriptions (lists, indexes, manifests, configs), each read once, and not more than an archive may have of them. */
class Descriptions {
  readonly #files: Files;
  readonly #read = new Map<string, { readonly raw: Uint8Array; readonly digest: Digest }>();
  #bytes = 0;
  #images = 0;

  constructor(files: Files) {
    this.#files = files;
  }

  /** @throws invalid-argument for one that is missing, or too large, alone or with those before */
  read(name: string): { readonly raw: Uint8Array; readonly digest: Digest } {
    const path = fileOf(this.#files, name);
    const known = this.#read.get(path);
    if (known !== undefined) return known;
    const { size } = statSync(path);
    if (size > smallFileLimit)
      throw new EngineError("invalid-argument", `a description in the archive is larger than ${smallFileLimit} bytes`);
    this.#bytes += size;
    if (this.#bytes > descriptionsLimit)
      throw new EngineError(
        "invalid-argument",
        `the descriptions in the archive are larger than ${descriptionsLimit} bytes: load its images in several archives`,
      );
    const raw = readFileSync(path);
    const description = { raw, digest: sha256Digest(raw) };
    this.#read.set(path, description);
    return description;
  }

  /** One more image. Others have their turn before it. */
  async image(): Promise<void> {
    if (++this.#images > maxImages)
      throw new EngineError(
        "invalid-argument",
        `the archive has more than ${maxImages} images: load them in several archives`,
      );
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    throw new EngineError("invalid-argument", "a description in the archive is not JSON", { cause: error });
  }
}

async function sourcesOf(files: Files, platform: Platform | undefined): Promise<Source[]> {
  const sources = await allSources(files, platform);
  if (platform === undefined) return sources;
  const wanted = sources.filter(({ config }) => platformMatches(platform, platformOf(parseImageConfig(config))));
  if (wanted.length === 0)
    throw new EngineError("not-found", `the archive has no image for the platform ${formatPlatform(platform)}`);
  return wanted;
}

async function allSources(files: Files, platform: Platform | undefined): Promise<Source[]> {
  const descriptions = new Descriptions(files);
  const inLayout = await ociManifests(files, descriptions, platform);
  if (!files.has("manifest.json")) {
    if (inLayout.length === 0)
      throw new EngineError("invalid-argument", "invalid archive: does not contain a manifest.json");
    return inLayout;
  }
  // The same image in the OCI part keeps its manifest, and with it its digest.
  const manifests = new Map<string, readonly Uint8Array[]>();
  for (const one of inLayout) {
    const digest = sha256Digest(one.config);
    if (!manifests.has(digest)) manifests.set(digest, one.manifests);
  }
  const entries = json(descriptions.read("manifest.json").raw);
  if (!Array.isArray(entries)) throw new EngineError("invalid-argument", "manifest.json of the archive is not a list");
  const sources: Source[] = [];
  for (const entry of entries as unknown[]) {
    await descriptions.image();
    const { Config, RepoTags, Layers } = (entry ?? {}) as { Config?: unknown; RepoTags?: unknown; Layers?: unknown };
    if (typeof Config !== "string" || !Array.isArray(Layers))
      throw new EngineError("invalid-argument", "manifest.json of the archive names no config or layers");
    // To dockerd null is the empty name, which is none.
    const tags = strings("RepoTags", Array.isArray(RepoTags) ? RepoTags.map((tag: unknown) => tag ?? "") : RepoTags);
    const config = descriptions.read(Config);
    sources.push({
      config: config.raw,
      layers: strings("Layers", Layers).map((name) => fileOf(files, name)),
      names: tags.map(tagOf),
      manifests: manifests.get(config.digest) ?? [],
    });
  }
  return sources;
}

/** A list in manifest.json; where it is absent or null, an empty one. */
function strings(key: string, value: unknown): string[] {
  const list: unknown = value ?? [];
  if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  const text = JSON.stringify(list);
  throw new EngineError(
    "invalid-argument",
    `manifest.json of the archive has ${key} that are no list of strings: ${text.length > 100 ? `${text.slice(0, 100)}…` : text}`,
  );
}

/** A tag that an archive gives its image: what `docker tag` would take. */
function tagOf(text: string): Reference {
  try {
    return parseRepositoryTag(text, undefined);
  } catch (error) {
    throw new EngineError("invalid-argument", `invalid tag ${JSON.stringify(text)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Where an OCI layout gives a name: its text, and the bytes that the named descriptor points to. */
interface OciName {
  readonly text: string;
  readonly raw: Uint8Array;
}

/** The name as one of Docker's; undefined for what is none there ("latest", "1.0/Linux"), since an OCI layout may call its parts anything. */
function ociNameOf({ text, raw }: OciName): Reference | undefined {
  // A bare tag is no name of an image.
  const reference = /[:/@]/.test(text) ? tryParseReference(text) : undefined;
  if (reference?.digest === undefined) return reference === undefined ? undefined : tagOf(text);
  const digest = sha256Digest(raw);
  if (reference.digest !== digest)
    throw new EngineError(
      "invalid-argument",
      `the archive names an image ${text}, which has another digest: ${digest}; give it a name with a tag`,
    );
  return withDigest(reference, digest);
}

async function ociManifests(
  files: Files,
  descriptions: Descriptions,
  platform: Platform | undefined,
): Promise<Source[]> {
  if (!files.has("index.json")) return [];
  const index = parseManifest(descriptions.read("index.json").raw, "application/vnd.oci.image.index.v1+json");
  if (index.kind !== "index") return [];
  const blobName = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
  const read = ({ digest }: Descriptor): Uint8Array => {
    const description = descriptions.read(blobName(digest));
    if (description.digest !== digest)
      throw new EngineError("data-loss", `the archive's ${digest} has another content`);
    return description.raw;
  };
  const found: Source[] = [];
  /** One image with many names is listed once for each. */
  const known = new Map<string, ParsedManifest>();
  const visit = async (descriptor: Descriptor, depth: number, outer: OciName | undefined): Promise<void> => {
    await descriptions.image();
    const raw = read(descriptor);
    const text =
      descriptor.annotations?.["io.containerd.image.name"] ??
      descriptor.annotations?.["org.opencontainers.image.ref.name"];
    const given = text === undefined ? outer : { text, raw };
    const key = `${descriptor.digest} ${descriptor.mediaType}`;
    const parsed = known.get(key) ?? parseManifest(raw, descriptor.mediaType);
    known.set(key, parsed);
    if (parsed.kind === "index") {
      const own = pickPlatform(normalizePlatform(platform ?? hostPlatform()), parsed.index.manifests);
      if (own !== undefined && depth < 4) await visit(own, depth + 1, given);
      return;
    }
    const { config, layers } = parsed.manifest;
    const name = given === undefined ? undefined : ociNameOf(given);
    found.push({
      config: read(config),
      layers: layers.map((layer) => fileOf(files, blobName(layer.digest))),
      names: name === undefined ? [] : [name],
      manifests: name?.digest === undefined || given === undefined || given.raw === raw ? [raw] : [raw, given.raw],
    });
  };
  for (const descriptor of index.index.manifests) await visit(descriptor, 0, undefined);
  return found;
}
