/** The built-in image fathom/hello: made of an embedded program at the first request, without network. */
import { TarWriter } from "@fathom/archive";
import {
  canonicalString,
  familiarString,
  mediaTypes,
  parseReference,
  tryParseReference,
  withDefaultTag,
  type DiffId,
} from "@fathom/spec";
import { createLayerUnpacker, type Lease } from "@fathom/store";
import { helloProgram } from "@fathom/sys";
import { setTag } from "../names/names.ts";
import type { ImageContext } from "../context.ts";
import { putImage } from "./make-image.ts";

const names = ["fathom/hello:latest", "hello:latest"];

/** Makes the image when `name` means it and it does not exist. */
export function makeBuiltinFor(context: ImageContext, name: string, labels: Readonly<Record<string, string>>): void {
  const reference = tryParseReference(name);
  if (reference === undefined || reference.digest !== undefined) return;
  const tagged = withDefaultTag(reference);
  if (!names.includes(familiarString(tagged))) return;
  if (context.store.images.named(canonicalString(tagged)) === undefined) makeBuiltin(context, labels);
}

/** Makes the image and its names. Synchronous: it is one small file. */
function makeBuiltin(context: ImageContext, labels: Readonly<Record<string, string>>): void {
  const { store } = context;
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => chunks.push(chunk));
  tar.file({ path: "hello", mode: 0o755 }, helloProgram());
  tar.finish();
  const layer = Buffer.concat(chunks);
  const lease = store.leases.create("built-in image");
  try {
    const diffId = commitLayer(context, layer, lease);
    const blob = store.content.put(layer, lease);
    const created = "2026-01-01T00:00:00Z";
    const config = {
      created,
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: {
        Labels: labels,
        Cmd: ["/hello"],
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      },
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created, created_by: "built into fathom" }],
    };
    const image = putImage(
      context,
      {
        config: Buffer.from(JSON.stringify(config)),
        layers: [{ mediaType: mediaTypes.ociLayer, ...blob }],
      },
      lease,
    );
    for (const name of names) setTag(context, image, parseReference(name));
  } finally {
    store.leases.release(lease);
  }
}

function commitLayer({ sys, store }: ImageContext, layer: Uint8Array, lease: Lease): DiffId {
  const draft = store.layers.draft();
  try {
    const unpacker = createLayerUnpacker(sys, draft.diffPath);
    try {
      unpacker.write(layer);
      const { diffId, size } = unpacker.finish();
      draft.commit(undefined, diffId, size, lease);
      return diffId;
    } finally {
      unpacker.abort();
    }
  } finally {
    draft.abort();
  }
}
