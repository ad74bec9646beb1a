/**
 * Images. A name points to a descriptor: an index or a manifest. That is one image, with any number of platforms and attestations.
 *
 * Terms
 * - An *image of one platform* (`ImageRecord`) is a config with its layers. Its id is the digest of the config: Docker's image id.
 * - A *target* is what a name points to. The target's own bytes say which platforms and attestations an index has
 *   (`readTarget(manifestsOf(content), target)`).
 * - A name *holds* the parts of its target that are stored here: images of one platform (Docker's views show the first), and content of
 *   attestations. They are not collected while
 *   the name exists. Other parts of the target may be stored too, for another name.
 *
 * A pull brings one platform, as Docker's does: then the other manifests of the index are not in the content store, and `readTarget` returns
 * them as entries that are not present.
 */
import type { ChainId, Descriptor, Digest } from "@fathom/spec";
import type { Lease } from "./leases.ts";

/** An image of one platform: a config, its layers, and the manifests with which it came. */
export interface ImageRecord {
  /** Digest of the config's bytes: Docker's image id. */
  readonly id: Digest;
  readonly layers: readonly ChainId[];
  /** Compressed layers in manifest order, if they are stored; a push with the same digest needs them. */
  readonly blobs: readonly Digest[];
  /** Manifests that name this config, and indexes with those manifests; the content store has their exact bytes. */
  readonly manifests: readonly Digest[];
  /** RFC3339Nano: when it was stored here. */
  readonly storedAt: string;
  /** Sum of layer sizes, bytes. */
  readonly size: number;
  /** The image under it, from which its container was made; undefined when it came from elsewhere. */
  readonly parent: Digest | undefined;
}

/** Digest, size and type of an index or a manifest. */
export type ImageTarget = Pick<Descriptor, "mediaType" | "digest" | "size">;

/** One image: a target, and the parts of it that are held. */
export interface HeldImage {
  readonly target: ImageTarget;
  /** Images of one platform, without duplicates. The first one is shown when no platform is requested. */
  readonly images: readonly [Digest, ...Digest[]];
  /** Other content of the target: manifests, configs and layers of attestations. */
  readonly content: readonly Digest[];
}

export interface NamedImage extends HeldImage {
  /** Canonical name: "docker.io/library/alpine:3.20" or "docker.io/library/alpine@sha256:…". */
  readonly name: string;
}

export interface ImageStore {
  /** Adds an image or merges it with the stored one (manifests and blobs are united, the first parent stays), and holds it under the lease. */
  put(image: ImageRecord, lease: Lease): void;
  get(id: Digest): ImageRecord | undefined;
  /** Images that are shown: by a name, or because they have none. An image that names hold only after another one is found through those names. */
  list(): ImageRecord[];
  /** Ids that begin with `prefix` (hex, with or without "sha256:"). */
  find(prefix: string): Digest[];
  /** Images that were committed on top of this one. */
  children(id: Digest): Digest[];
  /** Removes the row. Names that hold it and its children must be removed before. The next collection removes layers and blobs. */
  remove(id: Digest): void;
  /** All names, or those that hold this image. */
  names(id?: Digest): NamedImage[];
  named(name: string): NamedImage | undefined;
  /**
   * Sets or moves a name. Things that the name held before, and that no other name holds, are no longer protected by a name.
   * @throws not-found for an image or content that is not stored; invalid-argument for a digest as a tag, and for "name@digest" unless the
   * first image came with that digest and the target has it too
   */
  tag(named: NamedImage): void;
  untag(name: string): boolean;
}
