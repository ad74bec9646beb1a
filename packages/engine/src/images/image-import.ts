/** docker import: a tar of a root file system becomes an image of one layer. */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { createGzipCompressor } from "@fathom/archive";
import { formatRfc3339Nano } from "@fathom/base";
import { hostPlatform, parsePlatform, type ProgressMessage } from "@fathom/spec";
import { applyChanges } from "../commit-changes.ts";
import { parseRepositoryTag, publishImage, setTag } from "./image-change.ts";
import { writeAll } from "../pull/file-jobs.ts";
import { underLease, type ImageContext } from "./image-context.ts";
import { diffIdOfFile, importBlob, putImage, unpackLayerFile } from "./image-make.ts";

export interface ImportRequest {
  readonly source: AsyncIterable<Uint8Array>;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  readonly message: string | undefined;
  /** Dockerfile instructions for the image's configuration. */
  readonly changes: readonly string[];
  readonly platform: string | undefined;
}

/** The one message is the image's id. @throws invalid-argument for a bad name, change, platform or archive; nothing is left then */
export async function* importImage(
  context: ImageContext,
  request: ImportRequest,
  signal: AbortSignal,
): AsyncGenerator<ProgressMessage> {
  const { clock } = context;
  const reference = request.repository ? parseRepositoryTag(request.repository, request.tag) : undefined;
  const run = applyChanges({}, request.changes);
  const platform = request.platform ? parsePlatform(request.platform) : hostPlatform();
  using work = context.workDirectory();
  yield await underLease(context, "import", async (lease) => {
    const received = join(work.path, "received");
    await writeFile(received, async (write) => {
      for await (const chunk of request.source) {
        signal.throwIfAborted();
        write(chunk);
      }
    });
    // Kept compressed, whatever it came as: a push sends this blob.
    const layer = join(work.path, "layer.tar.gz");
    const diffId = await writeFile(layer, async (write) => {
      const compressor = createGzipCompressor(write);
      const digest = await diffIdOfFile(received, (chunk) => compressor.write(chunk));
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
      config: run,
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created, ...(request.message ? { comment: request.message } : {}) }],
    };
    const layers = [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...blob }];
    const id = putImage(context, { config: Buffer.from(JSON.stringify(config)), layers }, lease);
    if (reference !== undefined) setTag(context, id, reference);
    publishImage(context, "import", id, id);
    return { status: id };
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
