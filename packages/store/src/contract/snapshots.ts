/**
 * Snapshots: file systems on top of a chain of layers, each with a key.
 *
 * Life of a snapshot: `prepare` makes a writable one, `view` a read-only one. The caller mounts what `mounts` returns. It ends with `remove`,
 * or with `commit`, which makes an image layer of its changes; the next `prepare` can use that layer as its parent. After both, the key is free
 * again. Layers below a snapshot are not collected. `commitCopy` makes an image layer of a snapshot that stays, as a running container's does.
 *
 * Terms: a *chain* is a layer with all layers below it; its name is the id of the topmost layer. `commit` writes no tar, so the layer has no
 * DiffId, and its chain has an id of its own. `describe` computes both for an image's config. The chain keeps its own id, and is also found by
 * the id from its DiffIds.
 *
 * These are no changes: sockets, and the files that every container has when the image lacks them (empty mount points: `tree/mount-stubs.ts`).
 * A committed layer does not have them, as its tar does not.
 *
 * Errors: not-found for a key or a chain that does not exist; conflict for a key that is taken; invalid-argument for an invalid key and for a
 * call that a view cannot answer; resource-exhausted on a full disk. After a failed call nothing has changed, and the next `openStore` removes
 * what a crash left.
 */
import type { ChainId, DiffId } from "@fathom/spec";
import type { OverlayMount } from "@fathom/sys";
import type { Layer, UnpackedLayer } from "./layers.ts";
import type { Lease } from "./leases.ts";

export interface Snapshotter {
  /** @param owner The part of the engine that must remove its leftovers. A container's root gets the files of Docker's init layer. */
  prepare(key: string, parent: ChainId | undefined, owner: SnapshotOwner): Snapshot;
  view(key: string, parent: ChainId | undefined, owner: SnapshotOwner): Snapshot;
  get(key: string): Snapshot | undefined;
  list(): Snapshot[];
  /** For Sys.openOverlay and `attach-root` of plan.ts. */
  mounts(key: string): OverlayMount;
  /**
   * The writable layer becomes an image layer unchanged. It must not be mounted anywhere: later writes would change the layer.
   * @throws invalid-argument at the 126th layer, not-found when the lease was released or has expired
   */
  commit(key: string, options: { readonly lease: Lease }): Promise<Layer>;
  /**
   * The changes become an image layer of their own, and the snapshot stays: it may be mounted, and others may write to it. The layer is
   * unpacked from the tar whose digest is the DiffId, so both agree, whatever is written meanwhile. A file that is written during its copy may
   * be inconsistent: pause its writers.
   * @returns undefined when nothing was changed: then no layer is made
   * @throws as `commit`
   */
  commitCopy(key: string, options: CopyOptions): Promise<CopiedLayer | undefined>;
  /** The changes, sorted by path as `docker diff` prints them. A view has no changes. */
  changes(key: string): Promise<Change[]>;
  /** Bytes in the writable layer. */
  usage(key: string): Promise<number>;
  /** Removes it with everything in it; a large one in the background (it is renamed away at once). May be called again. */
  remove(key: string): Promise<void>;
  /**
   * DiffIds and sizes of a chain, the lowest layer first. For a layer without a DiffId, the tar is written once; a second call reads the stored
   * result. The caller holds the chain meanwhile. After an abort, the DiffIds of finished layers stay.
   */
  describe(top: ChainId, options?: DescribeOptions): Promise<DescribedChainLayer[]>;
  /** Places and layers of the snapshot that `prepare` would make. Nothing is made. @throws not-found when the parent does not exist */
  preview(key: string, parent: ChainId | undefined): Snapshot;
  /** Descriptor of the files of a chain; the caller reads and closes it. Nothing is made. @throws as `preview` */
  openChain(top: ChainId | undefined): number;
}

export type SnapshotOwner = "container" | "image-mount" | "build";

export interface Snapshot {
  readonly key: string;
  readonly kind: "active" | "view";
  readonly owner: SnapshotOwner;
  readonly parent: ChainId | undefined;
  /** What `mounts` returns. Lower directories have their short `l/` names. */
  readonly mount: OverlayMount;
  /** Absolute path of the changes: overlay2/<directory>/diff. */
  readonly diffPath: string;
  readonly mergedPath: string;
  readonly workPath: string;
  /** The layers below, the uppermost first. */
  readonly lowerPaths: readonly string[];
}

/** Plain data: a worker thread may do the work (`copyLayer`). */
export interface LayerCopy {
  /** The directory with the changes. */
  readonly diffPath: string;
  /** The layers below it, the uppermost first. */
  readonly lowerPaths: readonly string[];
  /** An empty directory: the copy. */
  readonly targetPath: string;
}

export interface CopyOptions {
  readonly lease: Lease;
  readonly signal?: AbortSignal;
  /**
   * Makes the copy, in a thread of its own or with a sink for the tar (`copyLayer`), so that a caller that needs the bytes need not write them
   * again. Default: on this thread, in small turns.
   */
  readonly copy?: (copy: LayerCopy) => Promise<UnpackedLayer>;
}

export type CopiedLayer = Layer & { readonly diffId: DiffId };

export interface DescribeOptions {
  readonly signal?: AbortSignal;
  /**
   * Returns a sink for the tar of each layer that is written, so that a caller that needs the bytes need not write it again. The sink may keep
   * the chunks.
   */
  readonly tar?: (layer: Layer) => (chunk: Uint8Array) => void | Promise<void>;
}

export interface DescribedChainLayer {
  /** The id from the DiffIds up to this layer. */
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  /** Bytes of its files. */
  readonly size: number;
  /** Bytes of its tar; undefined for a layer that came as a tar. */
  readonly tarSize: number | undefined;
}

export type ChangeKind = 0 | 1 | 2; // modified, added, deleted: Docker's numbers
export interface Change {
  readonly path: string;
  readonly kind: ChangeKind;
}
