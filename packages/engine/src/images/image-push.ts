/** docker push in plain form: blobs that the registry lacks, then the manifest as it is stored, so that its digest stays. */
import { createRegistryClient, type Credentials, type RegistryConfig } from "@fathom/distribution";
import {
  canonicalName,
  familiarName,
  parseReference,
  withDefaultTag,
  withTag,
  type ProgressMessage,
} from "@fathom/spec";
import { layerMessage, shownDigest } from "../pull/progress.ts";
import { findImage, type ImageContext } from "./image-context.ts";
import { manifestOf } from "./image-make.ts";

export interface PushRequest {
  readonly name: string;
  readonly tag: string | undefined;
  readonly credentials: Credentials | undefined;
}

/** @throws not-found for an unknown name; nothing is sent then */
export async function* pushImage(
  context: ImageContext,
  registry: RegistryConfig,
  request: PushRequest,
  signal: AbortSignal,
): AsyncGenerator<ProgressMessage> {
  const named = parseReference(request.name);
  const reference =
    request.tag === undefined || request.tag === "" ? withDefaultTag(named) : withTag(named, request.tag);
  const shown = `${familiarName(reference)}:${reference.tag}`;
  const record = findImage(context, shown);
  yield { status: `The push refers to repository [${canonicalName(reference)}]` };
  const stored = manifestOf(context, record.id, shown);
  const client = createRegistryClient({ config: registry, credentials: request.credentials, clock: context.clock });
  const { content } = context.store;
  for (const layer of stored.layers) yield layerMessage(shownDigest(layer.digest), "Preparing");
  for (const layer of stored.layers) {
    const outcome = await client.pushBlob(reference, layer, () => content.stream(layer.digest), signal);
    yield layerMessage(shownDigest(layer.digest), outcome === "exists" ? "Layer already exists" : "Pushed");
  }
  await client.pushBlob(reference, stored.config, () => content.stream(stored.config.digest), signal);
  const digest = await client.pushManifest(reference, stored.mediaType, stored.raw, signal);
  yield { status: `${reference.tag}: digest: ${digest} size: ${stored.raw.length}` };
  yield { progressDetail: {}, aux: { Tag: reference.tag, Digest: digest, Size: stored.raw.length } };
  context.events.publish("image", "push", shown, { name: familiarName(reference) });
}
