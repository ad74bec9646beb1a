/**
 * Pulls an image: the manifest, the config, all layers at the same time, and then, in one transaction, the image and its names. Until then only
 * a lease protects the data. A failed or cancelled pull leaves verified blobs for the next try, and nothing else.
 */
import { EngineError, formatRfc3339Nano, isEngineError, type Clock, type Logger } from "@fathom/base";
import {
  createRegistryClient,
  type RegistryClient,
  type RegistryConfig,
  type ResolvedImage,
  type ResolvedManifest,
} from "@fathom/distribution";
import {
  canonicalName,
  canonicalString,
  chainIds,
  familiarName,
  familiarString,
  formatPlatform,
  hostPlatform,
  maxConfigBytes,
  normalizePlatform,
  maxManifestBytes,
  parseImageConfig,
  parseManifest,
  pickPlatform,
  platformMatches,
  withDigest,
  withTag,
  type Digest,
  type ImageConfig,
  type Platform,
  type Reference,
} from "@fathom/spec";
import { layerLimit, type Lease, type NamedImage, type Store } from "@fathom/store";
import type { PlatformMismatch, PublishImageEvent, PullEvent, PullRequest } from "../contract.ts";
import type { LayerPulls, WantedLayer } from "./layer-pulls.ts";
import { platformOf } from "../platform.ts";
import { EventQueue, type LayerOfEvent } from "../event-queue.ts";
import { pullLayers } from "./pull-layers.ts";
import { SharedTasks, type TaskContext } from "./shared-task.ts";

export interface PullerOptions {
  readonly store: Store;
  readonly registry: RegistryConfig;
  readonly layers: LayerPulls;
  readonly publish: PublishImageEvent;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when a name was set, for "last tag time". */
  readonly onTag?: (name: string) => void;
}

type Emit = (event: PullEvent) => void;

export class Puller {
  readonly #options: PullerOptions;
  readonly #pulls = new SharedTasks<PullEvent, void>(eventKey);

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /**
   * Events of the pull as they come. A client that leaves early (by its signal, or by ending the iteration) cancels the pull, unless another
   * one waits for the same.
   * @throws not-found and the other failures of the registry client
   */
  async *pull(request: PullRequest, signal: AbortSignal): AsyncGenerator<PullEvent, void, undefined> {
    const left = new AbortController();
    const both = AbortSignal.any([signal, left.signal]);
    const queue = new EventQueue(layerOfPull);
    const task = this.#pulls.get(keyOf(request), (context) => this.#run(request, context));
    task
      .join((event) => queue.push(event), both)
      .then(
        () => queue.end(),
        (error: unknown) => queue.fail(error),
      );
    try {
      yield* queue;
    } finally {
      left.abort();
    }
  }

  async #run(request: PullRequest, { signal, emit }: TaskContext<PullEvent>): Promise<void> {
    const { reference, credentials } = request;
    const client = createRegistryClient({ config: this.#options.registry, credentials, clock: this.#options.clock });
    let changed = false;
    const mismatches: PlatformMismatch[] = [];
    if (reference.tag !== undefined || reference.digest !== undefined)
      changed = await this.#pullOne(client, request, signal, emit, mismatches);
    else
      for (const tag of await client.tags(reference, signal))
        changed =
          (await this.#pullOne(client, { ...request, reference: withTag(reference, tag) }, signal, emit, mismatches)) ||
          changed;
    emit({ kind: "done", reference, changed, mismatches });
    this.#options.publish("pull", familiarString(reference), { name: familiarName(reference) });
  }

  /** @returns whether the name points to another image than before. */
  async #pullOne(
    client: RegistryClient,
    request: PullRequest,
    signal: AbortSignal,
    emit: Emit,
    mismatches: PlatformMismatch[],
  ): Promise<boolean> {
    const { store, logger, clock } = this.#options;
    const reference =
      request.reference.digest === undefined
        ? request.reference
        : withDigest(request.reference, request.reference.digest);
    const name = canonicalString(reference);
    const begin = (): void => emit({ kind: "pulling", reference });
    const startedMs = clock.monotonicMs();
    const known = store.images.named(name);
    if (known !== undefined && this.#isPulled(known, reference) && this.#hasPlatform(known, request.platform)) {
      const head = await client.head(reference, signal);
      if (head.digest === known.target.digest) {
        begin();
        emit({ kind: "resolved", digest: head.digest });
        return false;
      }
    }
    // Before the platform is looked for: as in Docker, a missing one is an error in the stream.
    const resolved = await client.resolve(reference, request.platform, signal, begin);
    const lease = store.leases.create(`pull ${name}`);
    try {
      const { id, config } = await this.#store(client, reference, resolved, lease, signal, emit);
      if (request.platform !== undefined && !platformMatches(request.platform, platformOf(config)))
        mismatches.push({ reference, own: platformOf(config), wanted: request.platform });
      emit({ kind: "resolved", digest: resolved.target.digest });
      const changed = known?.images[0] !== id;
      this.#name(reference, id, resolved.target);
      logger.info("pulled", { name, image: id, ms: Math.round(clock.monotonicMs() - startedMs) });
      store.leases.release(lease);
      return changed;
    } catch (error) {
      store.leases.release(lease);
      // Verified blobs stay for the next try, unless they fill the disk.
      if (isEngineError(error, "resource-exhausted"))
        await store.collector.collect().catch((reason: unknown) => logger.warn("collecting failed", { error: reason }));
      throw error;
    }
  }

  /** Whether the image came from this repository: an image that was only tagged here has no name by its digest. */
  #isPulled(known: NamedImage, reference: Reference): boolean {
    const byDigest = this.#options.store.images.named(`${canonicalName(reference)}@${known.target.digest}`);
    return byDigest?.images[0] === known.images[0];
  }

  /** Whether the image that the name shows is stored, and is the one that its manifest or index has for this platform. */
  #hasPlatform({ target: { digest }, images: [shown] }: NamedImage, platform: Platform | undefined): boolean {
    const { store } = this.#options;
    const record = store.images.get(shown);
    if (record === undefined || store.content.info(shown) === undefined) return false;
    const config = parseImageConfig(store.content.read(shown, maxConfigBytes));
    const wanted = normalizePlatform(platform ?? hostPlatform());
    if (formatPlatform(normalizePlatform(platformOf(config))) === formatPlatform(wanted)) return true;
    if (store.content.info(digest) === undefined) return false;
    const target = parseManifest(store.content.read(digest, maxManifestBytes), undefined);
    // A manifest has only one image. If a user asks for a platform that it does not have, the warning must come again.
    if (target.kind === "manifest") return platform === undefined || platformMatches(wanted, platformOf(config));
    const chosen = pickPlatform(wanted, target.index.manifests);
    return chosen !== undefined && record.manifests.includes(chosen.digest);
  }

  async #store(
    client: RegistryClient,
    reference: Reference,
    resolved: ResolvedImage,
    lease: Lease,
    signal: AbortSignal,
    emit: Emit,
  ): Promise<{ id: Digest; config: ImageConfig }> {
    const { store, clock } = this.#options;
    const { image, target, manifest } = resolved;
    if (image.layers.length > layerLimit)
      throw new EngineError(
        "invalid-argument",
        `max depth exceeded: ${familiarString(reference)} has ${image.layers.length} layers, an image may have ${layerLimit}`,
      );
    for (const each of new Set([manifest, target])) store.content.put(each.raw, lease);
    const id = image.config.digest;
    const raw =
      store.content.info(id) === undefined
        ? await client.fetchBlob(reference, image.config, maxConfigBytes, signal)
        : store.content.read(id, maxConfigBytes);
    store.content.put(raw, lease);
    const config = parseImageConfig(raw);
    checkConfig(config, image.layers.length, reference);
    const diffIds = config.rootfs.diff_ids;
    const chain = chainIds(diffIds);
    const wanted = image.layers.map((descriptor, index): WantedLayer => ({
      descriptor,
      diffId: diffIds[index]!,
      chainId: chain[index]!,
      parent: chain[index - 1],
    }));
    // For an image that is stored already, under another name or digest, there are no events.
    const isKnown = store.images.get(id) !== undefined;
    const source = () => client.blobSource(reference);
    await pullLayers(this.#options, source, wanted, lease, signal, isKnown ? () => undefined : emit);
    let size = 0;
    for (const chainId of chain) size += store.layers.get(chainId)?.size ?? 0;
    const blobs = image.layers
      .map((layer) => layer.digest)
      .filter((digest) => store.content.info(digest) !== undefined);
    store.images.put(
      {
        id,
        layers: chain,
        blobs,
        manifests: [...new Set([manifest.digest, target.digest])],
        storedAt: formatRfc3339Nano(clock.nowNs()),
        size,
        parent: undefined,
      },
      lease,
    );
    return { id, config };
  }

  /**
   * The tag and also name@digest: the image keeps that name when the tag moves. A name that holds several platforms of this index still holds
   * them, and shows the requested one.
   */
  #name(reference: Reference, image: Digest, { digest, mediaType, raw }: ResolvedManifest): void {
    const { store, onTag } = this.#options;
    const target = { digest, mediaType, size: raw.length };
    const names = new Set([canonicalString(reference), `${canonicalName(reference)}@${digest}`]);
    store.database.transaction(() => {
      for (const name of names) {
        const before = store.images.named(name);
        const kept = before?.target.digest === digest && before.images.length > 1 ? before : undefined;
        const others = kept?.images.filter((id) => id !== image) ?? [];
        store.images.tag({ name, target, images: [image, ...others], content: kept?.content ?? [] });
        onTag?.(name);
      }
    });
  }
}

export function layerOfPull(event: PullEvent): LayerOfEvent | undefined {
  return event.kind === "layer" ? { layer: event.layer, isProgress: event.phase === "downloading" } : undefined;
}

/** Which events replace an earlier one for late readers: a layer has one event of each phase, a text occurs once. */
function eventKey(event: PullEvent): string {
  switch (event.kind) {
    case "layer":
      return `layer ${event.layer} ${event.phase}`;
    case "pulling":
      return `pulling ${canonicalString(event.reference)}`;
    case "resolved":
      return `resolved ${event.digest}`;
    case "done":
      return "done";
  }
}

function checkConfig(config: ImageConfig, layers: number, reference: Reference): void {
  const name = familiarString(reference);
  if (config.rootfs.diff_ids.length !== layers)
    throw new EngineError(
      "invalid-argument",
      `image ${name} is broken: its manifest has ${layers} layers, its config ${config.rootfs.diff_ids.length}`,
    );
  if (config.os !== "" && config.os !== "linux")
    throw new EngineError(
      "invalid-argument",
      `image operating system ${JSON.stringify(config.os)} of ${name} cannot be used on this platform: operating system is not supported`,
    );
}

/** Requests with other credentials do not share a pull: one must not use the access of the other. */
function keyOf({ reference, platform, credentials }: PullRequest): string {
  const who = new Bun.CryptoHasher("sha256").update(JSON.stringify(credentials ?? {})).digest("hex");
  return `${canonicalString(reference)} ${platform === undefined ? "" : formatPlatform(normalizePlatform(platform))} ${who}`;
}
