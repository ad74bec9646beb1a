/**
 * Images: what is stored, with which names, and how images come and go: pull, push, load, save, import, commit, removal.
 *
 * Lifecycle: `createImages` opens them with a store. Disposing it cancels running work (pulls, loads, commits) and ends the worker threads. The
 * code that builds on it passes in what is declared here: who uses an image, and where events go.
 *
 * Terms: the id of an image is the digest of its config. A name is a tag ("alpine:3.20") or name@digest. A name is shown in its short form,
 * without the default registry.
 *
 * Errors: EngineError. Abort: a cancelled pull leaves verified blobs for the next try; any other failed or cancelled work leaves nothing.
 */
import type { Clock, Logger } from "@fathom/base";
import type { Credentials, RegistryConfig } from "@fathom/distribution";
import type { ChainId, Digest, ImageConfig, Platform, Reference } from "@fathom/spec";
import type { ImageRecord, Lease, Store } from "@fathom/store";
import type { Sys } from "@fathom/sys";

export interface ImagesConfig {
  /** State that survives a reboot: `/var/lib/fathom`. Unfinished files are in its `tmp`. */
  readonly dataRoot: string;
  readonly maxConcurrentDownloads: number;
  readonly maxConcurrentUploads: number;
}

/** The users of an image: containers that were made from it or mount it. */
export interface ImageUser {
  readonly id: string;
  /** A running user also prevents a forced removal of the image. */
  readonly running: boolean;
}

export interface ImageUses {
  ofImage(id: Digest): readonly ImageUser[];
}

/** Receives an event of an image, and never waits. */
export type PublishImageEvent = (action: string, image: string, attributes: Readonly<Record<string, string>>) => void;

export interface ImagesParts {
  readonly config: ImagesConfig;
  /** Mirrors, proxy, certificates and similar settings, for pull, push and login. */
  readonly registry: RegistryConfig;
  readonly store: Store;
  readonly sys: Sys;
  readonly uses: ImageUses;
  readonly publish: PublishImageEvent;
  /** Labels that the built-in image fathom/hello gets. */
  readonly builtinLabels: Readonly<Record<string, string>>;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** An image, with the data that a new container needs. */
export interface LocalImage {
  readonly id: Digest;
  readonly config: ImageConfig;
  /** Topmost chain id; undefined for an image without layers. */
  readonly topLayer: ChainId | undefined;
}

/** The names of one image in their short form. */
export interface ShownNames {
  readonly tags: readonly string[];
  readonly digests: readonly string[];
}

/** One step of an image's making, the newest first. */
export interface HistoryEntry {
  /** RFC3339; undefined when the config has no date. */
  readonly created: string | undefined;
  readonly createdBy: string;
  readonly comment: string;
  /** Bytes of its layer; 0 for a step without a layer. */
  readonly size: number;
  /** The image that ends with this step, if it is an image of its own, and its tags. */
  readonly image: { readonly id: Digest; readonly tags: readonly string[] } | undefined;
}

/** What a removal removed, in this order. */
export type RemovedPart =
  | { readonly kind: "name"; readonly name: string }
  /** The image itself, or a layer that no other image has. */
  | { readonly kind: "image"; readonly id: Digest }
  | { readonly kind: "layer"; readonly chainId: string };

export interface PruneResult {
  readonly removed: readonly RemovedPart[];
  readonly reclaimedBytes: number;
}

export interface PullRequest {
  /** With neither tag nor digest: all tags of the repository. */
  readonly reference: Reference;
  /** The requested platform; undefined for this machine's. */
  readonly platform: Platform | undefined;
  readonly credentials: Credentials | undefined;
}

export interface PushRequest {
  /** With neither tag nor digest: all tags of the repository. */
  readonly name: string;
  readonly tag: string | undefined;
  readonly credentials: Credentials | undefined;
  /**
   * undefined: what the name points to, when all of it is stored here: an index with all its platforms and attestations keeps its digest. Else
   * the manifest of one platform. An image of another platform than the requested one is rejected.
   */
  readonly platform: Platform | undefined;
}

/** Progress of a layer. Sizes are those of its compressed blob, in bytes. */
export interface LayerProgress<Phase extends string> {
  readonly kind: "layer";
  readonly layer: Digest;
  readonly phase: Phase;
  readonly current: number;
  readonly total: number;
}

export type PullPhase =
  /** The layer was stored before the pull. */
  | "present"
  | "queued"
  /** The largest allowed number of layers is being downloaded already. */
  | "waiting"
  | "downloading"
  /** Its bytes are stored and match their digest. */
  | "downloaded"
  /** It has its place in the chain. */
  | "unpacked";

/** An image for another platform than the requested one: the name has no other. */
export interface PlatformMismatch {
  readonly reference: Reference;
  readonly own: Platform;
  readonly wanted: Platform;
}

export type PullEvent =
  /** For each name: `pulling`, its layers, `resolved`. */
  | { readonly kind: "pulling"; readonly reference: Reference }
  | LayerProgress<PullPhase>
  /** The manifest or index to which the name points. */
  | { readonly kind: "resolved"; readonly digest: Digest }
  /** The last one. */
  | {
      readonly kind: "done";
      readonly reference: Reference;
      /** A name points to another image than before. */
      readonly changed: boolean;
      readonly mismatches: readonly PlatformMismatch[];
    };

export type PushEvent =
  /** The first one. */
  | { readonly kind: "pushing"; readonly reference: Reference }
  /** `present`: the repository already has it. */
  | LayerProgress<"queued" | "present" | "pushing" | "pushed">
  /** The registry took it from another of its repositories: nothing was sent. */
  | { readonly kind: "mounted"; readonly layer: Digest; readonly from: string }
  /** The last one for each tag. */
  | { readonly kind: "done"; readonly reference: Reference; readonly digest: Digest; readonly manifestBytes: number };

/** An image of an archive that is stored now, once for each of its names. */
export interface LoadEvent {
  readonly kind: "loaded";
  readonly image: Digest;
  readonly name: Reference | undefined;
  /** The image that had the name before. */
  readonly replaced: Digest | undefined;
}

type RunConfig = NonNullable<ImageConfig["config"]>;

export interface ImportRequest {
  /** A tar of a root file system, compressed or not. */
  readonly source: AsyncIterable<Uint8Array>;
  readonly reference: Reference | undefined;
  readonly message: string | undefined;
  /** How the image is run. */
  readonly config: RunConfig;
  readonly platform: Platform;
}

/** A new image from a container's writable layer. */
export interface CommitRequest {
  readonly containerId: string;
  readonly parent: Digest;
  /** How the image is run. */
  readonly config: RunConfig;
  readonly reference: Reference | undefined;
  readonly author: string;
  readonly comment: string;
  readonly createdBy: string;
}

/** A new image on top of layers that a build made. */
export interface MakeRequest {
  /** undefined: an image without layers. */
  readonly top: ChainId | undefined;
  /** The image whose layers are the lowest ones. */
  readonly base: Digest | undefined;
  readonly config: Omit<ImageConfig, "rootfs">;
  /** Holds the layers. */
  readonly lease: Lease;
}

export interface Images extends AsyncDisposable {
  /**
   * An image by name, name@digest, id or unique id prefix, as the user typed it. If the name means the built-in image, it is made.
   * @param platform When a name holds several platforms: this one, or the shown one if this one is not held. The caller decides whether that is
   * enough.
   * @throws not-found "No such image: busybox:1.99" (with the tag that the name means), invalid-argument "invalid reference format…"
   */
  lookup(name: string, platform?: Platform): LocalImage;
  /** By id; undefined when it was removed meanwhile. */
  byId(id: Digest): LocalImage | undefined;
  /** As `lookup`, but only for stored images. @throws not-found also when the image is for another platform than the requested one */
  find(name: string, platform?: Platform): ImageRecord;
  list(): readonly ImageRecord[];
  config(id: Digest): ImageConfig;
  names(id: Digest): ShownNames;
  /** When one of its names was last set, RFC3339Nano; undefined for an image without names. */
  lastTagTime(id: Digest): string | undefined;
  history(name: string, platform: Platform | undefined): readonly HistoryEntry[];
  tag(name: string, reference: Reference): void;
  /** @throws conflict when something needs it; the requested name may be removed then */
  remove(
    name: string,
    options: { readonly force: boolean; readonly noPrune: boolean },
  ): Promise<readonly RemovedPart[]>;
  /** Removes the selected images that nothing needs, and everything that belongs to no image. */
  prune(wanted: (image: ImageRecord) => boolean): Promise<PruneResult>;
  /** A client that leaves early cancels the pull, unless another client waits for the same. */
  pull(request: PullRequest, signal: AbortSignal): AsyncIterable<PullEvent>;
  push(request: PushRequest, signal: AbortSignal): AsyncIterable<PushEvent>;
  /** An archive in Docker's or OCI's form. Without a platform: all of its images. */
  load(
    archive: AsyncIterable<Uint8Array>,
    platform: Platform | undefined,
    signal: AbortSignal,
  ): AsyncIterable<LoadEvent>;
  /** One archive in both forms. @throws not-found before the first byte */
  save(names: readonly string[], platform: Platform | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
  import(request: ImportRequest, signal: AbortSignal): Promise<Digest>;
  commit(request: CommitRequest, signal: AbortSignal): Promise<Digest>;
  /** Layers without a compressed form get one. The image has no name yet; a name is set with `tag`. */
  make(request: MakeRequest, signal: AbortSignal): Promise<Digest>;
  /** Asks a registry whether it accepts the credentials. */
  login(server: string | undefined, credentials: Credentials, signal: AbortSignal): Promise<void>;
}
