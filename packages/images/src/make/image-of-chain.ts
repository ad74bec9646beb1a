/** An image on top of a chain of layers that were committed without tars, as a build makes them. */
import { createWriteStream, type WriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import { join } from "node:path";
import { createGzip } from "node:zlib";
import { mediaTypes, type ChainId, type Descriptor, type Digest } from "@fathom/spec";
import { writeLayerDiff, type DescribedChainLayer, type Lease } from "@fathom/store";
import type { ImageContext } from "../context.ts";
import type { MakeRequest } from "../contract.ts";
import { publishImage } from "../names/names.ts";
import { importBlob, manifestOf, putImage } from "./make-image.ts";

/** @throws the signal's reason; resource-exhausted on a full disk */
export async function imageOfChain(
  context: ImageContext,
  { top, base, config, lease }: MakeRequest,
  signal: AbortSignal,
): Promise<Digest> {
  const { store } = context;
  await using work = context.workDirectory();
  const written = new Map<ChainId, GzipFile>();
  try {
    const described =
      top === undefined
        ? []
        : await store.snapshots.describe(top, {
            signal,
            tar: (layer) => {
              const file = new GzipFile(join(work.path, `${written.size}.tar.gz`));
              written.set(layer.chainId, file);
              return (chunk) => file.write(chunk);
            },
          });
    const made = [...written.values()];
    // `describe` writes the tars of the topmost layers that had none, in their order.
    const first = described.length - made.length;
    const known = knownBlobs(context, base);
    const layers: Descriptor[] = [];
    for (const [index, layer] of described.entries()) {
      const file = made[index - first];
      const descriptor =
        file === undefined
          ? (known.get(layer.chainId) ?? (await writtenAgain(context, described, index, work.path, lease, signal)))
          : { mediaType: mediaTypes.ociLayerGzip, ...(await importBlob(context, await file.end(), lease, signal)) };
      layers.push(descriptor);
    }
    signal.throwIfAborted();
    const document = { ...config, rootfs: { type: "layers", diff_ids: described.map(({ diffId }) => diffId) } };
    const image = putImage(context, { config: Buffer.from(JSON.stringify(document)), layers }, lease);
    const [id] = image.images;
    publishImage(context, "create", id, id);
    return id;
  } finally {
    for (const file of written.values()) file.abort();
  }
}

/** Compressed layers that are stored, by their chain: those of the base, and of every other image. */
function knownBlobs(context: ImageContext, base: Digest | undefined): ReadonlyMap<ChainId, Descriptor> {
  const found = new Map<ChainId, Descriptor>();
  const ids = [...(base === undefined ? [] : [base]), ...context.store.images.list().map(({ id }) => id)];
  for (const id of ids) {
    try {
      const { layers } = manifestOf(context, id, id);
      context.store.images.get(id)?.layers.forEach((chainId, index) => {
        if (!found.has(chainId)) found.set(chainId, layers[index]!);
      });
    } catch {
      // It came without them.
    }
  }
  return found;
}

/** A layer whose DiffId is known and whose blob is gone: the same tar once more. */
async function writtenAgain(
  context: ImageContext,
  described: readonly DescribedChainLayer[],
  index: number,
  directory: string,
  lease: Lease,
  signal: AbortSignal,
): Promise<Descriptor> {
  const { sys, store } = context;
  const pathOf = (at: number): string => store.layers.get(described[at]!.chainId)!.diffPath;
  const lower = Array.from({ length: index }, (_, at) => pathOf(index - 1 - at));
  const file = new GzipFile(join(directory, `again-${index}.tar.gz`));
  try {
    await writeLayerDiff(sys, pathOf(index), lower, (chunk) => {
      signal.throwIfAborted();
      return file.write(chunk);
    });
    const blob = await importBlob(context, await file.end(), lease, signal);
    return { mediaType: mediaTypes.ociLayerGzip, ...blob };
  } finally {
    file.abort();
  }
}

class GzipFile {
  readonly #path: string;
  readonly #gzip = createGzip();
  readonly #target: WriteStream;
  readonly #done: Promise<void>;

  constructor(path: string) {
    this.#path = path;
    this.#target = createWriteStream(path, { mode: 0o600 });
    this.#done = finished(this.#gzip.on("error", (error) => this.#target.destroy(error)).pipe(this.#target));
    this.#done.catch(() => undefined);
  }

  /** Waits while the file is behind. */
  write(chunk: Uint8Array): void | Promise<void> {
    if (this.#gzip.write(chunk)) return;
    const drained = new Promise<void>((resolve) => this.#gzip.once("drain", resolve));
    return Promise.race([drained, this.#done]);
  }

  /** The path of the whole file. */
  async end(): Promise<string> {
    this.#gzip.end();
    await this.#done;
    return this.#path;
  }

  abort(): void {
    this.#gzip.destroy();
    // A pipe does not pass on that end: the descriptor would stay open.
    this.#target.destroy();
  }
}
