/** docker push in plain form: blobs that the registry lacks, then the manifest as it is stored, so that its digest stays. */
import { EngineError } from "@fathom/base";
import { createRegistryClient, RegistryError, type RegistryClient, type RegistryConfig } from "@fathom/distribution";
import {
  canonicalName,
  familiarName,
  familiarString,
  parseReference,
  withTag,
  type Descriptor,
  type Digest,
  type Platform,
  type ProgressMessage,
  type Reference,
} from "@fathom/spec";
import { layerMessage, shownDigest } from "../pull/progress.ts";
import { Semaphore } from "@fathom/base/semaphore";
import type { ImageContext } from "../context.ts";
import type { PushRequest } from "../contract.ts";
import { findForPlatform } from "../names/find.ts";
import { manifestOf } from "../make/make-image.ts";

/**
 * The tag, or all tags of the repository where none is given. What cannot be pushed is told in the stream, as dockerd does.
 * @throws not-found for an unknown name or tag; nothing is sent then
 */
export async function* pushImage(
  context: ImageContext,
  registry: RegistryConfig,
  request: PushRequest,
  signal: AbortSignal,
): AsyncGenerator<ProgressMessage> {
  const named = parseReference(request.name);
  yield { status: `The push refers to repository [${canonicalName(named)}]` };
  const references = pushedReferences(context, named, request.tag);
  const client = createRegistryClient({ config: registry, credentials: request.credentials, clock: context.clock });
  try {
    for (const reference of references) yield* pushReference(context, client, reference, request.platform, signal);
  } catch (error) {
    if (error instanceof RegistryError && error.reason === "no-credentials")
      throw new EngineError("unauthenticated", "no basic auth credentials", { cause: error });
    throw error;
  }
}

function pushedReferences(context: ImageContext, named: Reference, tag: string | undefined): Reference[] {
  const name = canonicalName(named);
  const local = context.store.images
    .references()
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
): AsyncGenerator<ProgressMessage> {
  const { content } = context.store;
  const shown = familiarString(reference);
  const record = findForPlatform(context, shown, platform);
  const stored = manifestOf(context, record.id, shown);
  for (const layer of stored.layers) yield layerMessage(shownDigest(layer.digest), "Preparing");
  // The first failure, or a client that hangs up, ends the other uploads too.
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
      yield layerMessage(shownDigest(layer.digest), outcome === "exists" ? "Layer already exists" : "Pushed");
    }
    await upload(stored.config);
    digest = await client.pushManifest(reference, stored.mediaType, stored.raw, signal);
  } finally {
    ended.abort();
    await Promise.allSettled(uploads);
  }
  yield { status: `${reference.tag}: digest: ${digest} size: ${stored.raw.length}` };
  yield { progressDetail: {}, aux: { Tag: reference.tag, Digest: digest, Size: stored.raw.length } };
  // From now on the image can be named by what the registry knows it by.
  const byDigest = `${canonicalName(reference)}@${digest}`;
  context.store.images.tag({ name: byDigest, image: record.id, target: digest });
  context.setTagTime(byDigest);
  context.publish("push", shown, { name: familiarName(reference) });
}
