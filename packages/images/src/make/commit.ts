/** docker commit: a container's writable layer becomes the top layer of a new image. */
import { join } from "node:path";
import { EngineError, formatRfc3339Nano } from "@fathom/base";
import { mediaTypes, type Descriptor, type Digest } from "@fathom/spec";
import type { CommitRequest } from "../contract.ts";
import { publishImage, setTag } from "../names/names.ts";
import { configOf, underLease, type ImageContext } from "../context.ts";
import { importBlob, manifestOf, putImage } from "./make-image.ts";

/** A failure, and a client that leaves, leave nothing. */
export async function commitLayer(context: ImageContext, request: CommitRequest, signal: AbortSignal): Promise<Digest> {
  const { store, clock } = context;
  const parent = configOf(context, request.parent);
  if (store.snapshots.get(request.containerId) === undefined)
    throw new EngineError("data-loss", `the writable layer of container ${request.containerId} is missing`);
  await using work = context.workDirectory();
  return await underLease(context, `commit ${request.containerId}`, async (lease) => {
    const file = join(work.path, "layer.tar.gz");
    const base = store.images.get(request.parent);
    for (const chainId of base?.layers ?? []) store.layers.hold(chainId, lease);
    const layers = [...parentLayers(context, request.parent)];
    const layer = await store.snapshots.commitCopy(request.containerId, {
      lease,
      signal,
      copy: (copy) => context.runCopy({ ...copy, file }, signal),
    });
    // A container without changes adds no layer.
    const isEmpty = layer === undefined;
    if (!isEmpty) {
      const blob = await importBlob(context, file, lease, signal);
      layers.push({ mediaType: mediaTypes.ociLayerGzip, ...blob });
    }
    signal.throwIfAborted();
    const created = formatRfc3339Nano(clock.nowNs());
    const { author } = request;
    const config = {
      ...parent,
      created,
      ...(author === "" ? {} : { author }),
      config: request.config,
      rootfs: { type: "layers", diff_ids: [...parent.rootfs.diff_ids, ...(isEmpty ? [] : [layer.diffId])] },
      history: [
        ...(parent.history ?? []),
        {
          created,
          ...(author === "" ? {} : { author }),
          created_by: request.createdBy,
          ...(request.comment === "" ? {} : { comment: request.comment }),
          ...(isEmpty ? { empty_layer: true } : {}),
        },
      ],
    };
    const image = putImage(
      context,
      { config: Buffer.from(JSON.stringify(config)), layers, parent: request.parent },
      lease,
    );
    const [id] = image.images;
    publishImage(context, "create", id, id);
    if (request.reference !== undefined) setTag(context, image, request.reference);
    return id;
  });
}

/** Without the parent's compressed layers the image still works, but it cannot be pushed or saved. */
function parentLayers(context: ImageContext, parent: Digest): readonly Descriptor[] {
  try {
    return manifestOf(context, parent, parent).layers;
  } catch {
    return [];
  }
}
