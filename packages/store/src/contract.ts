/**
 * The store: bytes by digest (content), file systems by chain of layers (snapshots), names of images, one SQLite database, and
 * leases that keep the garbage collector away from what is being made.
 *
 * Promises
 * - A blob is visible under its digest only whole and verified. Writing it again is a no-op.
 * - A committed image layer's directory is never written again.
 * - Every operation either finishes, or leaves nothing (`open` of the store removes what a crash left: temporary files, layer
 *   directories without a row).
 * - What a lease names is not collected while the lease lives. A lease is a row with an owner, so it holds over a crash. The engine releases
 *   the leases of its own earlier starts when it starts. A client's lease holds until it is released or expires.
 * - Disk full is EngineError "resource-exhausted"; the store stays sound.
 *
 * Layout below the root: see ARCHITECTURE.md ("State on disk").
 */
import type { ChainId, Digest, DiffId } from "@fathom/spec";
import type { OverlayMount } from "@fathom/sys";

export interface ContentInfo {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface ContentWriter {
  /** Bytes written so far. */
  readonly offset: number;
  /** Synchronous: for worker threads. Refuses to grow beyond the expected size. */
  write(chunk: Uint8Array): void;
  /** After the last byte: whether size and digest are right. @throws data-loss when they differ; the temporary file is gone then. */
  verify(): void;
  /** Verifies, if that was not done, and makes it durable and visible. @throws as `verify` */
  commit(): ContentInfo;
  /** Drops it. Idempotent, harmless after commit. */
  abort(): void;
}

export interface ContentStore {
  info(digest: Digest): ContentInfo | undefined;
  /** Absolute path of a stored blob. @throws not-found */
  path(digest: Digest): string;
  /** Whole bytes, for manifests and configs. @throws not-found, resource-exhausted above `limitBytes` */
  read(digest: Digest, limitBytes: number): Uint8Array;
  stream(digest: Digest, offset?: number): ReadableStream<Uint8Array>;
  /** Safe to call in a worker thread: touches files only. The row is added by `record`. */
  writer(expected: { readonly digest: Digest; readonly size: number }): ContentWriter;
  /** Makes a committed blob known to the metadata under a lease. */
  record(info: ContentInfo, lease: Lease): void;
  /** writer + commit + record of bytes in memory. */
  put(data: Uint8Array, lease: Lease): ContentInfo;
  list(): ContentInfo[];
}

export interface Lease {
  readonly id: string;
}

/** A client says how long its lease holds: nobody else can know whether the client is still there. */
export interface ClientLease {
  /** Who it is, for people: "buildctl". */
  readonly client: string;
  /** Above 0. */
  readonly expiresInMs: number;
}

/** This start of the engine, an earlier one, or a client. */
export type LeaseOwner =
  | { readonly kind: "engine"; readonly current: boolean }
  | { readonly kind: "client"; readonly name: string };

export interface LeaseRecord {
  readonly id: string;
  readonly label: string;
  readonly owner: LeaseOwner;
  readonly createdAt: string;
  /** Milliseconds since 1970. From then on it holds nothing, and the next collection removes it. Only a client's lease has one. */
  readonly expiresAtMs: number | undefined;
}

export interface Leases {
  /**
   * Without `client` it belongs to this start of the engine and holds until it is released, or until a later start calls `releaseEarlier`.
   * @param label Says what for: "pull docker.io/library/alpine:3.20".
   * @throws invalid-argument for a time that is not above 0
   */
  create(label: string, client?: ClientLease): Lease;
  /** A client's lease holds for so long from now. @throws not-found when it is gone or has expired, invalid-argument when it is the engine's */
  extend(lease: Lease, expiresInMs: number): void;
  /** Idempotent. */
  release(lease: Lease): void;
  /** What earlier starts of the engine had under way is over: their leases go. A client's lease stays until it expires. */
  releaseEarlier(): void;
  list(): readonly LeaseRecord[];
}

/** An image layer that is on disk. */
export interface Layer {
  readonly chainId: ChainId;
  /** undefined for one that was committed without a tar, until `Snapshotter.describe`. */
  readonly diffId: DiffId | undefined;
  readonly parent: ChainId | undefined;
  /** Directory name below overlay2/. */
  readonly cacheId: string;
  /** Absolute path of its `diff` directory. */
  readonly diffPath: string;
  /** Bytes of its files (apparent size), as `docker history` shows. */
  readonly size: number;
}

/** A layer directory being filled. It has no place in a chain yet, so all layers of an image can be filled at the same time. */
export interface LayerDraft {
  readonly cacheId: string;
  /** Absolute path of the directory to unpack into; exists, empty. */
  readonly diffPath: string;
  /**
   * Puts it on top of `parent`. When that chain id exists already the draft is dropped and the existing layer given.
   * @param implied As for `inherit`, when they are few: this does not give the thread back.
   */
  commit(parent: ChainId | undefined, diffId: DiffId, size: number, lease: Lease, implied?: readonly string[]): Layer;
  /**
   * Before the commit: directories (byte-string paths) get owner, mode, xattrs and times of the layers below, where those have them. Gives the
   * thread back again and again; the parent must be held meanwhile.
   */
  inherit(parent: ChainId | undefined, implied: readonly string[]): Promise<void>;
  abort(): void;
}

export interface LayerStore {
  get(chainId: ChainId): Layer | undefined;
  list(): Layer[];
  draft(): LayerDraft;
  /** Takes an existing layer under a lease; false when it does not exist (or was just collected). */
  hold(chainId: ChainId, lease: Lease): boolean;
}

/**
 * Snapshots: file systems over a chain of layers, each under a key.
 *
 * Life of a snapshot: `prepare` makes a writable one, `view` one that is only read. Whoever has it mounts what `mounts` gives. It ends by `remove`, or by `commit`, which makes
 * an image layer of what was written: the next `prepare` stands on that. A key is free again after both. The layers below a snapshot are not collected.
 *
 * Terms: a *chain* is a layer with all below it, named by the id of the topmost. `commit` writes no tar, so the layer has no DiffId, and its chain has an id of its own.
 * `describe` gives both what an image's config needs. The chain keeps its own id, and is also found by the one that its DiffIds give.
 *
 * What is no change: sockets, and what every container has where the image lacks it (empty places to mount on: `tree/mount-stubs.ts`). A committed layer has none of it, as its
 * tar has none.
 *
 * Errors: not-found for a key or a chain that does not exist, conflict for a key that is taken, invalid-argument for a key that is no name and for a call that a view
 * cannot answer, resource-exhausted on a full disk. After a failed call everything is as it was, and what a crash leaves is removed by the next `openStore`.
 */
export interface Snapshotter {
  /** @param owner Who looks after it: its leftovers are its owner's to remove. A container's root gets what Docker's init layer has. */
  prepare(key: string, parent: ChainId | undefined, owner: SnapshotOwner): Snapshot;
  view(key: string, parent: ChainId | undefined, owner: SnapshotOwner): Snapshot;
  get(key: string): Snapshot | undefined;
  list(): Snapshot[];
  /** For Sys.openOverlay and plan.ts `attach-root`. */
  mounts(key: string): OverlayMount;
  /**
   * The writable layer becomes an image layer as it is. Nobody may have it mounted: what is written to it afterwards is written to the layer.
   * @throws invalid-argument at the 126th layer, not-found when the lease was released or has expired
   */
  commit(key: string, options: { readonly lease: Lease }): Promise<Layer>;
  /** What was changed, sorted by path as `docker diff` prints. A view has changed nothing. */
  changes(key: string): Promise<Change[]>;
  /** Bytes in the writable layer. */
  usage(key: string): Promise<number>;
  /** Removes it with everything in it, in the background where it is large (renamed away at once). Idempotent. */
  remove(key: string): Promise<void>;
  /**
   * DiffIds and sizes of a chain, the lowest layer first. The tar of a layer that has no DiffId is written, and that once: a second call reads the answer. The caller holds the
   * chain meanwhile. An abort leaves the DiffIds of the layers that are done.
   */
  describe(top: ChainId, options?: DescribeOptions): Promise<DescribedChainLayer[]>;
  /** What `prepare` would make, as places and layers. Nothing is made. @throws not-found when the parent does not exist */
  preview(key: string, parent: ChainId | undefined): Snapshot;
  /** Descriptor of the files of a chain, to be read and closed by the caller. Nothing is made. @throws as `preview` */
  openChain(top: ChainId | undefined): number;
}

export type SnapshotOwner = "container" | "image-mount" | "build";

export interface Snapshot {
  readonly key: string;
  readonly kind: "active" | "view";
  readonly owner: SnapshotOwner;
  readonly parent: ChainId | undefined;
  /** What `mounts` gives. Lower directories are given by their short `l/` names. */
  readonly mount: OverlayMount;
  /** Absolute path of what was written: overlay2/<directory>/diff. */
  readonly diffPath: string;
  readonly mergedPath: string;
  readonly workPath: string;
  /** The layers below, the uppermost first. */
  readonly lowerPaths: readonly string[];
}

export interface DescribeOptions {
  readonly signal?: AbortSignal;
  /** Gives a sink for the tar of each layer that is written: whoever needs the bytes need not write it again. The sink may keep the chunks. */
  readonly tar?: (layer: Layer) => (chunk: Uint8Array) => void | Promise<void>;
}

export interface DescribedChainLayer {
  /** The id that the DiffIds up to here give. */
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

/** An image as the engine knows it: a config, its layers, and the manifests it came by. */
export interface ImageRecord {
  /** Digest of the config's bytes: Docker's image id. */
  readonly id: Digest;
  readonly layers: readonly ChainId[];
  /** Compressed layers in manifest order where they are stored; needed for a push with the same digest. */
  readonly blobs: readonly Digest[];
  /** Manifests that name this config, kept byte for byte in the content store. */
  readonly manifests: readonly Digest[];
  /** RFC3339Nano: when it came here. */
  readonly storedAt: string;
  /** Sum of layer sizes, bytes. */
  readonly size: number;
  /** The image that it was committed over; undefined for one that came from elsewhere. */
  readonly parent: Digest | undefined;
}

export interface ImageReference {
  /** Canonical name: "docker.io/library/alpine:3.20" or "docker.io/library/alpine@sha256:…". */
  readonly name: string;
  readonly image: Digest;
  /** Manifest or index digest that this name was pulled by; undefined for a plain tag of a local image. */
  readonly target: Digest | undefined;
}

export interface ImageStore {
  /** Adds or merges an image (manifests and blobs are united, the first parent stays) and holds it under the lease. */
  put(image: ImageRecord, lease: Lease): void;
  get(id: Digest): ImageRecord | undefined;
  list(): ImageRecord[];
  /** Ids that begin with `prefix` (hex, with or without "sha256:"). */
  find(prefix: string): Digest[];
  /** Images committed over this one. */
  children(id: Digest): Digest[];
  /** Removes the row; references to it and children of it must be gone. Layers and blobs go with the next collect. */
  remove(id: Digest): void;
  references(id?: Digest): ImageReference[];
  reference(name: string): ImageReference | undefined;
  /**
   * Sets or moves a name.
   * @throws invalid-argument for "name@digest" unless the image has a manifest with that digest, which `target` is, and for what no tag may be
   */
  tag(reference: ImageReference): void;
  untag(name: string): boolean;
}

export interface CollectResult {
  readonly blobs: readonly Digest[];
  /** Chain ids of removed layers, topmost first. */
  readonly layers: readonly ChainId[];
  readonly reclaimedBytes: number;
}

/** An ordered list of migrations of one component's tables; each runs once, in one transaction. */
export interface Migration {
  readonly version: number;
  readonly up: readonly string[];
}

/** A small synchronous SQLite surface (bun:sqlite), WAL, synchronous=FULL. */
export interface Database {
  migrate(component: string, migrations: readonly Migration[]): void;
  run(sql: string, ...parameters: SqlValue[]): { readonly changes: number };
  all(sql: string, ...parameters: SqlValue[]): Record<string, unknown>[];
  get(sql: string, ...parameters: SqlValue[]): Record<string, unknown> | undefined;
  /** BEGIN IMMEDIATE … COMMIT; nests by joining the outer one. */
  transaction<T>(action: () => T): T;
  /**
   * Commits of `action` do not wait for the disk. A crash of this program takes nothing back; a power loss within the next moments (a
   * background write-out follows after `writeOutMs`, and every other commit brings it forward) may, newest first, whole commits only. For
   * what a power loss makes untrue anyway.
   */
  relaxed<T>(action: () => T): T;
  /**
   * The object that a row holds as JSON, with these members at least. SQLite notices damaged pages, and no damaged text in them.
   * @param row Names it for whoever reads the error: "container x".
   * @throws data-loss that names the file and a way out
   */
  readObject(row: string, text: unknown, members: readonly string[]): Readonly<Record<string, unknown>>;
  /** Reads every page again, in another process where there is one for it. @throws data-loss that names the file and a way out, unavailable when it cannot be found out */
  check(): Promise<void>;
  close(): void;
}
export type SqlValue = string | number | bigint | null | Uint8Array;

export interface Store extends AsyncDisposable {
  readonly root: string;
  readonly database: Database;
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly snapshots: Snapshotter;
  readonly images: ImageStore;
  readonly leases: Leases;
  /**
   * Takes a file or a tree of the same disk out of the way at once, and frees it in the background. Nothing there is no error.
   * @throws EXDEV when it is on another disk
   */
  discard(path: string): void;
  /** Removes blobs and layers that no image, snapshot or lease reaches. */
  collect(): Promise<CollectResult>;
}

/** Fills `diffPath` from an uncompressed layer tar, pushed in chunks; synchronous, for worker threads. */
export interface LayerUnpacker {
  write(chunk: Uint8Array): void;
  /** After the last chunk. @throws invalid-argument for a hostile or broken archive, naming the entry and the rule. */
  finish(): UnpackedLayer;
  abort(): void;
}

export interface UnpackedLayer {
  readonly diffId: DiffId;
  /** Bytes of its files. */
  readonly size: number;
  readonly entries: number;
  /** For `LayerDraft.commit`: directories that were made for entries below them and have none of their own. */
  readonly implied: readonly string[];
}
