/** What a push sends for a name: manifests with their blobs. */
import { canonicalString, familiarString, sha256Digest, type Platform, type Reference } from "@fathom/spec";
import type { HeldImage } from "@fathom/store";
import type { ImageContext } from "../context.ts";
import { readStored, type StoredTarget } from "../held-content.ts";
import { manifestOf } from "../make/make-image.ts";
import { findForPlatform } from "../names/find.ts";

/** `held`: what a name for it holds. */
export type PushTarget = StoredTarget & { readonly held: HeldImage };

/** @throws not-found; conflict when it cannot be sent because compressed layers are missing */
export async function pushTarget(
  context: ImageContext,
  reference: Reference,
  platform: Platform | undefined,
): Promise<PushTarget> {
  const { store } = context;
  const named = platform === undefined ? store.images.named(canonicalString(reference)) : undefined;
  const whole = named === undefined ? undefined : await readStored(store, named.target, "reject");
  if (named !== undefined && whole !== undefined) {
    const { target, images, content } = named;
    return { ...whole, held: { target, images, content } };
  }
  const shown = familiarString(reference);
  const { id } = findForPlatform(context, shown, platform);
  const { raw, mediaType, config, layers } = manifestOf(context, id, shown);
  const target = { mediaType, digest: sha256Digest(raw), size: raw.length };
  return {
    manifests: [{ target, raw }],
    configs: [config],
    layers: [...new Map(layers.map((layer) => [layer.digest, layer])).values()],
    held: { target, images: [id], content: [] },
  };
}
