/** docker import: makes an image with one layer of a tar of a root file system. */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { createGzipCompressor } from "@fathom/archive";
import { formatRfc3339Nano } from "@fathom/base";
import { mediaTypes, type Digest } from "@fathom/spec";
import type { ImportRequest } from "../contract.ts";
import { publishImage, setTag } from "../names/names.ts";
import { writeAll } from "../workers/file-jobs.ts";
import { underLease, type ImageContext } from "../context.ts";
import { diffIdOfFile, importBlob, putImage, unpackLayerFile } from "../make/make-image.ts";

/** @throws invalid-argument for a broken archive; then nothing is left */
export async function importImage(context: ImageContext, request: ImportRequest, signal: AbortSignal): Promise<Digest> {
  const { clock } = context;
  const { reference, platform } = request;
  await using work = context.workDirectory();
  return await underLease(context, "import", async (lease) => {
    const received = join(work.path, "received");
    await writeFile(received, async (write) => {
      for await (const chunk of request.source) {
        signal.throwIfAborted();
        write(chunk);
      }
    });
    // Always kept compressed, because a push sends this blob.
    const layer = join(work.path, "layer.tar.gz");
    const diffId = await writeFile(layer, async (write) => {
      const compressor = createGzipCompressor(write);
      const digest = await diffIdOfFile(received, signal, (chunk) => compressor.write(chunk));
      await compressor.finish();
      return digest;
    });
    await unpackLayerFile(context, layer, undefined, diffId, lease, signal);
    const blob = await importBlob(context, layer, lease, signal);
    const created = formatRfc3339Nano(clock.nowNs());
    const config = {
      created,
      architecture: platform.architecture,
      ...(platform.variant === undefined ? {} : { variant: platform.variant }),
      os: platform.os,
      config: request.config,
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created, ...(request.message ? { comment: request.message } : {}) }],
    };
    const layers = [{ mediaType: mediaTypes.ociLayerGzip, ...blob }];
    const image = putImage(context, { config: Buffer.from(JSON.stringify(config)), layers }, lease);
    const [id] = image.images;
    if (reference !== undefined) setTag(context, image, reference);
    publishImage(context, "import", id, id);
    return id;
  });
}

async function writeFile<T>(path: string, fill: (write: (chunk: Uint8Array) => void) => Promise<T>): Promise<T> {
  const fd = openSync(path, "wx", 0o600);
  try {
    return await fill((chunk) => writeAll(fd, chunk, "write the archive"));
  } finally {
    closeSync(fd);
  }
}
