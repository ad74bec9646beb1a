/**
 * docker load: a docker-archive (manifest.json) or an OCI layout (index.json), compressed or not. The archive's files are spooled under
 * numbers of ours, so its names never become paths; nothing of a broken archive stays.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { join, posix } from "node:path";
import { EngineError } from "@fathom/base";
import { createDecompressor, nameText, TarReader } from "@fathom/archive";
import {
  chainIds,
  familiarString,
  parseImageConfig,
  parseManifest,
  sha256Digest,
  tryParseReference,
  withDefaultTag,
  type Descriptor,
  type ProgressMessage,
} from "@fathom/spec";
import type { Lease } from "@fathom/store";
import { setTag } from "./image-change.ts";
import type { ImageContext } from "./image-context.ts";
import { importBlob, layerMediaType, putImage, unpackLayerFile } from "./image-make.ts";

const smallFileLimit = 8 * 1024 * 1024;
const maxFiles = 20_000;

interface Source {
  readonly config: Uint8Array;
  readonly layers: readonly string[];
  readonly names: readonly string[];
  readonly manifest: Uint8Array | undefined;
}

/** @throws invalid-argument for what is no image archive, data-loss for a layer that is not what the config says */
export async function* loadImages(
  context: ImageContext,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<ProgressMessage> {
  const parent = join(context.config.dataRoot, "tmp");
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const work = mkdtempSync(join(parent, "load-"));
  const lease = context.store.leases.create("load");
  try {
    const files = await spool(work, body, signal);
    for (const source of sourcesOf(files)) {
      signal.throwIfAborted();
      const id = await loadOne(context, source, lease);
      for (const name of source.names) {
        const reference = tryParseReference(name);
        if (reference === undefined) continue;
        const tagged = withDefaultTag(reference);
        setTag(context, id, tagged, undefined);
        yield { stream: `Loaded image: ${familiarString(tagged)}\n` };
      }
      if (source.names.length === 0) yield { stream: `Loaded image ID: ${id}\n` };
      context.events.publish("image", "load", id, { name: id });
    }
  } finally {
    context.store.leases.release(lease);
    rmSync(work, { recursive: true, force: true });
  }
}

async function loadOne(context: ImageContext, source: Source, lease: Lease) {
  const config = parseImageConfig(source.config);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== source.layers.length)
    throw new EngineError(
      "invalid-argument",
      `invalid manifest, layers length mismatch: expected ${source.layers.length}, got ${diffIds.length}`,
    );
  const chain = chainIds(diffIds);
  const layers: Descriptor[] = [];
  for (const [index, path] of source.layers.entries()) {
    if (!context.store.layers.hold(chain[index]!, lease))
      await unpackLayerFile(context, path, chain[index - 1], diffIds[index]!, lease);
    const blob = await importBlob(context, path, lease);
    layers.push({ mediaType: layerMediaType(path), ...blob });
  }
  return putImage(
    context,
    { config: source.config, layers, ...(source.manifest === undefined ? {} : { manifest: source.manifest }) },
    lease,
  );
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
      for (let done = 0; done < chunk.length;) done += writeSync(fd, chunk, done, chunk.length - done, offset + done);
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

function readSmall(path: string): Uint8Array {
  if (statSync(path).size > smallFileLimit)
    throw new EngineError("invalid-argument", `a description in the archive is larger than ${smallFileLimit} bytes`);
  return readFileSync(path);
}

function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    throw new EngineError("invalid-argument", "a description in the archive is not JSON", { cause: error });
  }
}

function sourcesOf(files: Files): Source[] {
  const manifests = ociManifests(files);
  const list = files.get("manifest.json");
  if (list === undefined) {
    if (manifests.length === 0)
      throw new EngineError(
        "invalid-argument",
        "open manifest.json: no such file or directory: the archive holds no image",
      );
    return manifests;
  }
  const entries = json(readSmall(list));
  if (!Array.isArray(entries)) throw new EngineError("invalid-argument", "manifest.json of the archive is not a list");
  return entries.map((entry: unknown): Source => {
    const { Config, RepoTags, Layers } = (entry ?? {}) as { Config?: unknown; RepoTags?: unknown; Layers?: unknown };
    if (typeof Config !== "string" || !Array.isArray(Layers))
      throw new EngineError("invalid-argument", "manifest.json of the archive names no config or layers");
    const config = readSmall(fileOf(files, Config));
    const digest = sha256Digest(config);
    return {
      config,
      layers: Layers.map((name: unknown) => fileOf(files, String(name))),
      names: Array.isArray(RepoTags) ? RepoTags.map(String) : [],
      // The same image in the OCI part keeps its manifest, and with it its digest.
      manifest: manifests.find((one) => sha256Digest(one.config) === digest)?.manifest,
    };
  });
}

function ociManifests(files: Files): Source[] {
  const path = files.get("index.json");
  if (path === undefined) return [];
  const index = parseManifest(readSmall(path), "application/vnd.oci.image.index.v1+json");
  if (index.kind !== "index") return [];
  const blob = (digest: string): string => fileOf(files, `blobs/${digest.replace(":", "/")}`);
  const found: Source[] = [];
  const visit = (descriptor: Descriptor, depth: number, outer: string | undefined): void => {
    const raw = readSmall(blob(descriptor.digest));
    if (sha256Digest(raw) !== descriptor.digest)
      throw new EngineError("data-loss", `the archive's ${descriptor.digest} has another content`);
    const name =
      descriptor.annotations?.["io.containerd.image.name"] ??
      descriptor.annotations?.["org.opencontainers.image.ref.name"] ??
      outer;
    const parsed = parseManifest(raw, descriptor.mediaType);
    if (parsed.kind === "index") {
      const own = parsed.index.manifests.find(
        ({ platform }) =>
          platform === undefined ||
          (platform.os === "linux" && platform.architecture === (process.arch === "x64" ? "amd64" : process.arch)),
      );
      if (own !== undefined && depth < 4) visit(own, depth + 1, name);
      return;
    }
    const { config, layers } = parsed.manifest;
    found.push({
      config: readSmall(blob(config.digest)),
      layers: layers.map((layer) => blob(layer.digest)),
      // A bare tag ("latest") is no name of an image.
      names: name !== undefined && /[:/]/.test(name) ? [name] : [],
      manifest: raw,
    });
  };
  for (const descriptor of index.index.manifests) visit(descriptor, 0, undefined);
  return found;
}
