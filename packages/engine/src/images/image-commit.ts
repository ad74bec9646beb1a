/** docker commit: a container's writable layer becomes the top layer of a new image. */
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { formatRfc3339Nano } from "@fathom/base";
import { createGzipCompressor } from "@fathom/archive";
import { chainIds, type Descriptor, type Digest } from "@fathom/spec";
import { applyChanges, type RunConfig } from "../commit-changes.ts";
import type { LayerImageRequest } from "../contract.ts";
import { parseRepositoryTag, setTag } from "./image-change.ts";
import { configOf, type ImageContext } from "./image-context.ts";
import { importBlob, manifestOf, putImage, unpackLayerFile } from "./image-make.ts";

/** @throws invalid-argument for a bad name or change; nothing is left then */
export async function commitLayer(context: ImageContext, request: LayerImageRequest): Promise<Digest> {
  const { store, clock } = context;
  const reference = request.repository === undefined ? undefined : parseRepositoryTag(request.repository, request.tag);
  const parent = configOf(context, request.parent);
  const run: RunConfig = applyChanges(request.config, request.changes);
  const lease = store.leases.create(`commit ${request.containerId}`);
  using work = context.workDirectory();
  try {
    const file = join(work.path, "layer.tar.gz");
    const diffId = await writeCompressed(context, request.containerId, file);
    const chain = chainIds(parent.rootfs.diff_ids);
    const base = store.images.get(request.parent);
    for (const chainId of base?.layers ?? []) store.layers.hold(chainId, lease);
    await unpackLayerFile(context, file, chain.at(-1), diffId, lease, new AbortController().signal);
    const blob = await importBlob(context, file, lease);
    const created = formatRfc3339Nano(clock.nowNs());
    const { author } = request;
    const config = {
      ...parent,
      created,
      ...(author === "" ? {} : { author }),
      config: run,
      rootfs: { type: "layers", diff_ids: [...parent.rootfs.diff_ids, diffId] },
      history: [
        ...(parent.history ?? []),
        {
          created,
          ...(author === "" ? {} : { author }),
          created_by: request.createdBy,
          ...(request.comment === "" ? {} : { comment: request.comment }),
        },
      ],
    };
    const top: Descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...blob };
    const id = putImage(
      context,
      { config: Buffer.from(JSON.stringify(config)), layers: [...parentLayers(context, request.parent), top] },
      lease,
    );
    if (reference !== undefined) setTag(context, id, reference, undefined);
    return id;
  } finally {
    store.leases.release(lease);
  }
}

/** Without the parent's compressed layers the image works all the same; it cannot be pushed or saved. */
function parentLayers(context: ImageContext, parent: Digest): readonly Descriptor[] {
  try {
    return manifestOf(context, parent, parent).layers;
  } catch {
    return [];
  }
}

async function writeCompressed(context: ImageContext, containerId: string, file: string) {
  const fd = openSync(file, "wx", 0o600);
  try {
    const compressor = createGzipCompressor((chunk) => {
      for (let offset = 0; offset < chunk.length;) offset += writeSync(fd, chunk, offset);
    });
    const { diffId } = await context.store.containers.writeDiff(containerId, (chunk) => compressor.write(chunk));
    await compressor.finish();
    return diffId;
  } finally {
    closeSync(fd);
  }
}
