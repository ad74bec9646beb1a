/**
 * Images. A name points to a descriptor: an index, or a manifest. That is one image, whatever it has of platforms and attestations.
 *
 * Terms
 * - An *image of one platform* (`ImageRecord`) is a config with its layers. Its id is the digest of the config: Docker's image id.
 * - A *target* is what a name points to. Which platforms and attestations an index has is read from its own bytes (`readTarget(manifestsOf(content), target)`).
 * - A name *holds* what of its target is here: images of one platform, the first of which Docker's views show, and content of attestations. It is not collected while
 *   the name stands. What a name does not hold may be here all the same, for another name.
 *
 * A pull brings one platform, as Docker's does: the other manifests of the index are not in the content store then, and `readTarget` gives them as entries that are not present.
 */
import type { ChainId, Descriptor, Digest } from "@fathom/spec";
import type { Lease } from "./leases.ts";

/** An image of one platform: a config, its layers, and the manifests it came by. */
export interface ImageRecord {
  /** Digest of the config's bytes: Docker's image id. */
  readonly id: Digest;
  readonly layers: readonly ChainId[];
  /** Compressed layers in manifest order where they are stored; needed for a push with the same digest. */
  readonly blobs: readonly Digest[];
  /** Manifests that name this config, and indexes that have those, kept byte for byte in the content store. */
  readonly manifests: readonly Digest[];
  /** RFC3339Nano: when it came here. */
  readonly storedAt: string;
  /** Sum of layer sizes, bytes. */
  readonly size: number;
  /** The image that it was committed over; undefined for one that came from elsewhere. */
  readonly parent: Digest | undefined;
}

/** Digest, size and type of an index or a manifest. */
export type ImageTarget = Pick<Descriptor, "mediaType" | "digest" | "size">;

/** One image: a target, and what is held of it. */
export interface HeldImage {
  readonly target: ImageTarget;
  /** Images of one platform, without doubles. The first one is shown where no platform is asked for. */
  readonly images: readonly [Digest, ...Digest[]];
  /** Further content of the target: manifests, configs and layers of attestations. */
  readonly content: readonly Digest[];
}

export interface NamedImage extends HeldImage {
  /** Canonical name: "docker.io/library/alpine:3.20" or "docker.io/library/alpine@sha256:…". */
  readonly name: string;
}

export interface ImageStore {
  /** Adds or merges an image (manifests and blobs are united, the first parent stays) and holds it under the lease. */
  put(image: ImageRecord, lease: Lease): void;
  get(id: Digest): ImageRecord | undefined;
  /** Those that are shown: by some name, or because they have none. An image that names hold behind another one is found by them. */
  list(): ImageRecord[];
  /** Ids that begin with `prefix` (hex, with or without "sha256:"). */
  find(prefix: string): Digest[];
  /** Images committed over this one. */
  children(id: Digest): Digest[];
  /** Removes the row; names that hold it and children of it must be gone. Layers and blobs go with the next collection. */
  remove(id: Digest): void;
  /** All names, or those that hold this image. */
  names(id?: Digest): NamedImage[];
  named(name: string): NamedImage | undefined;
  /**
   * Sets or moves a name. What the name held before, and no other name holds, is no longer protected by a name.
   * @throws not-found for an image or content that is not here, invalid-argument for "name@digest" unless the first image came by that digest, which the target has, and
   * for what no tag may be
   */
  tag(named: NamedImage): void;
  untag(name: string): boolean;
}
