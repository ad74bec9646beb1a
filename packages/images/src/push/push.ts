/** docker push: blobs that the registry does not have, then the stored manifests, so that no digest changes. */
import { EngineError, Semaphore } from "@fathom/base";
import { createRegistryClient, type RegistryClient, type RegistryConfig } from "@fathom/distribution";
import {
  canonicalName,
  familiarName,
  familiarString,
  parseReference,
  withDigest,
  withTag,
  type Descriptor,
  type Platform,
  type Reference,
} from "@fathom/spec";
import type { ImageContext } from "../context.ts";
import type { PushEvent, PushRequest } from "../contract.ts";
import { EventQueue, type LayerOfEvent } from "../event-queue.ts";
import { Throttle } from "../workers/throttle.ts";
import { repositoriesWith } from "./mount-sources.ts";
import { pushTarget } from "./push-target.ts";

const reportIntervalMs = 100;

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
  const { manifests, configs, layers, held } = await pushTarget(context, reference, platform);
  const queue = new EventQueue(layerOfPush);
  for (const layer of layers) queue.push(layerEvent(layer, "queued", 0));
  // The first failure, or a client that hangs up, also ends the other uploads.
  const ended = new AbortController();
  const signal = AbortSignal.any([outer, ended.signal]);
  const places = new Semaphore(context.config.maxConcurrentUploads);
  const sources = repositoriesWith(context, reference);
  const upload = (blob: Descriptor, emit: (event: PushEvent) => void): Promise<void> =>
    places.run(signal, async () => {
      const mountFrom = sources(blob.digest);
      const open = (): ReadableStream<Uint8Array> => counted(context, blob, emit);
      const outcome = await client.pushBlob(reference, { descriptor: blob, open, mountFrom }, signal);
      if (outcome === "mounted") emit({ kind: "mounted", layer: blob.digest, from: mountFrom ?? "" });
      else emit(layerEvent(blob, outcome === "exists" ? "present" : "pushed", blob.size));
    });
  const work = async (): Promise<void> => {
    const uploads = [
      ...layers.map((layer) => upload(layer, (event) => queue.push(event))),
      ...configs.map((config) => upload(config, () => undefined)),
    ];
    for (const one of uploads) one.catch(() => ended.abort());
    try {
      await Promise.all(uploads);
      for (const { target, raw } of manifests) {
        const isLast = target.digest === held.target.digest;
        const name = isLast ? reference : withDigest(reference, target.digest);
        await client.pushManifest(name, target.mediaType, raw, signal);
      }
    } finally {
      ended.abort();
      await Promise.allSettled(uploads);
    }
  };
  const working = work().then(
    () => queue.end(),
    (error: unknown) => queue.fail(error),
  );
  try {
    yield* queue;
  } finally {
    ended.abort();
    await working;
  }
  const { digest, size } = held.target;
  yield { kind: "done", reference, digest, manifestBytes: size };
  // From now on the image can be named by its digest in the registry.
  const byDigest = `${canonicalName(reference)}@${digest}`;
  context.store.images.tag({ name: byDigest, ...held });
  context.setTagTime(byDigest);
  context.publish("push", familiarString(reference), { name: familiarName(reference) });
}

/** The bytes of a blob, with events of how many were sent. */
function counted(
  { store, clock }: ImageContext,
  blob: Descriptor,
  emit: (event: PushEvent) => void,
): ReadableStream<Uint8Array> {
  const throttle = new Throttle(reportIntervalMs, clock.monotonicMs);
  let sent = 0;
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      sent += chunk.length;
      if (throttle.due()) emit(layerEvent(blob, "pushing", sent));
      controller.enqueue(chunk);
    },
  });
  return store.content.stream(blob.digest).pipeThrough(count);
}

function layerOfPush(event: PushEvent): LayerOfEvent | undefined {
  return event.kind === "layer" ? { layer: event.layer, isProgress: event.phase === "pushing" } : undefined;
}

function layerEvent(
  { digest, size }: Descriptor,
  phase: Extract<PushEvent, { kind: "layer" }>["phase"],
  current: number,
): PushEvent {
  return { kind: "layer", layer: digest, phase, current, total: size };
}
