/** docker push in a plain form: blobs that the registry does not have, then the stored manifest, so that its digest does not change. */
import { EngineError, Semaphore } from "@fathom/base";
import { createRegistryClient, type RegistryClient, type RegistryConfig } from "@fathom/distribution";
import {
  canonicalName,
  familiarName,
  familiarString,
  parseReference,
  withTag,
  type Descriptor,
  type Digest,
  type Platform,
  type Reference,
} from "@fathom/spec";
import type { ImageContext } from "../context.ts";
import type { LayerProgress, PushEvent, PushRequest } from "../contract.ts";
import { findForPlatform } from "../names/find.ts";
import { manifestOf } from "../make/make-image.ts";

/**
 * The tag, or all tags of the repository when none is given. The first event comes before any look-up.
 * @throws not-found for an unknown name or tag; then nothing is sent
 */
export async function* pushImage(
  context: ImageContext,
  registry: RegistryConfig,
  request: PushRequest,
  signal: AbortSignal,
): AsyncGenerator<PushEvent> {
  const named = parseReference(request.name);
  yield { kind: "pushing", reference: named };
  const references = pushedReferences(context, named, request.tag);
  const client = createRegistryClient({ config: registry, credentials: request.credentials, clock: context.clock });
  for (const reference of references) yield* pushReference(context, client, reference, request.platform, signal);
}

function pushedReferences(context: ImageContext, named: Reference, tag: string | undefined): Reference[] {
  const name = canonicalName(named);
  const local = context.store.images
    .names()
    .map((one) => parseReference(one.name))
    .filter((one) => one.digest === undefined && canonicalName(one) === name);
  if (local.length === 0)
    throw new EngineError("not-found", `An image does not exist locally with the tag: ${familiarName(named)}`);
  if ((tag === undefined || tag === "") && named.tag === undefined) return local;
  const wanted = tag === undefined || tag === "" ? named : withTag(named, tag);
  if (!local.some((one) => one.tag === wanted.tag))
    throw new EngineError("not-found", `tag does not exist: ${familiarString(wanted)}`);
  return [wanted];
}

async function* pushReference(
  context: ImageContext,
  client: RegistryClient,
  reference: Reference,
  platform: Platform | undefined,
  outer: AbortSignal,
): AsyncGenerator<PushEvent> {
  const { content } = context.store;
  const shown = familiarString(reference);
  const record = findForPlatform(context, shown, platform);
  const stored = manifestOf(context, record.id, shown);
  for (const layer of stored.layers) yield layerEvent(layer, "queued", 0);
  // The first failure, or a client that hangs up, also ends the other uploads.
  const ended = new AbortController();
  const signal = AbortSignal.any([outer, ended.signal]);
  const places = new Semaphore(context.config.maxConcurrentUploads);
  const upload = (blob: Descriptor): Promise<"pushed" | "exists"> =>
    places.run(signal, () => client.pushBlob(reference, blob, () => content.stream(blob.digest), signal));
  const uploads = stored.layers.map(upload);
  for (const one of uploads) one.catch(() => ended.abort());
  let digest: Digest;
  try {
    for (const [index, layer] of stored.layers.entries()) {
      const outcome = await uploads[index];
      yield layerEvent(layer, outcome === "exists" ? "present" : "pushed", layer.size);
    }
    await upload(stored.config);
    digest = await client.pushManifest(reference, stored.mediaType, stored.raw, signal);
  } finally {
    ended.abort();
    await Promise.allSettled(uploads);
  }
  yield { kind: "done", reference, digest, manifestBytes: stored.raw.length };
  // From now on the image can be named by its digest in the registry.
  const byDigest = `${canonicalName(reference)}@${digest}`;
  const target = { digest, mediaType: stored.mediaType, size: stored.raw.length };
  context.store.images.tag({ name: byDigest, target, images: [record.id], content: [] });
  context.setTagTime(byDigest);
  context.publish("push", shown, { name: familiarName(reference) });
}

function layerEvent(
  { digest, size }: Descriptor,
  phase: "queued" | "present" | "pushed",
  current: number,
): LayerProgress<typeof phase> {
  return { kind: "layer", layer: digest, phase, current, total: size };
}
