/**
 * A registry for container images (OCI distribution-spec 1.1) behind HTTP, over storage that others can implement.
 *
 * Terms
 * - Blob: bytes with a digest. Link: the right of one repository to show a blob. One stored blob can have links from many repositories.
 * - Manifest: a small document that names blobs and other manifests. Its row says what the registry knows about it beside its bytes.
 * - Upload: bytes that arrive in one or several requests, until the client says their digest.
 * - Touch: the last time a client saw or sent a blob. The collector leaves blobs alone that were touched within its grace period.
 *
 * Promises of a store
 * - Nothing is half visible: a blob, link, manifest or tag is there whole, or it is absent. An operation that resolved survives a loss of power,
 *   together with all that it depends on (docs/rfd/012-registry.md gives the order of writes).
 * - `commitUpload` stores only bytes that match the digest.
 * - An upload survives the end of the process. Its offset is the number of bytes that the store has.
 * - Names, tags, digests and upload ids are checked before they reach a store.
 *
 * Lifecycle
 * - The caller owns the store. One process at a time uses the storage.
 * - `exclusively` runs tasks for one repository one after another. A check and the write that depends on it belong in one task.
 *
 * Errors
 * - Expected alternatives are results (undefined, false, a `kind`). A full disk is resource-exhausted; other faults of the disk are thrown as
 *   they are.
 *
 * Abort
 * - When the data of `writeUpload` throws, the bytes before the error stay in the upload, and the error is thrown again.
 */
import type { Digest } from "@fathom/spec";

/** What the registry knows about a manifest beside its bytes. */
export interface ManifestRow {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: number;
  /** The blobs and manifests that the collector keeps for it. */
  readonly references: readonly Digest[];
  /** The manifest that this one is about. It need not exist. */
  readonly subject?: Digest;
  readonly artifactType?: string;
  readonly pushedAtMs: number;
  readonly pushedBy?: string;
}

export interface TagRow {
  readonly digest: Digest;
  readonly pushedAtMs: number;
  readonly pushedBy?: string;
}

export interface BlobState {
  readonly bytes: number;
  readonly touchedMs: number;
}

export interface FoundBlob extends BlobState {
  readonly digest: Digest;
}

export type UploadResult =
  | { readonly kind: "stored"; readonly bytes: number }
  | { readonly kind: "unknown" }
  | { readonly kind: "different" };

/** @see the promises above. Lists are sorted by bytes. */
export interface RegistryStore extends AsyncDisposable {
  exclusively<T>(repository: string, task: () => Promise<T>): Promise<T>;

  repositories(): Promise<string[]>;
  hasRepository(repository: string): Promise<boolean>;

  /** The blob, when the repository has a link to it. */
  findBlob(repository: string, digest: Digest): Promise<BlobState | undefined>;
  /** @param end The first byte that is not read. @throws not-found */
  readBlob(digest: Digest, start: number, end: number): AsyncIterable<Uint8Array>;
  /** Makes or touches a link. False when no such blob is stored. */
  linkBlob(repository: string, digest: Digest): Promise<boolean>;
  /** False when the repository has no link, or when it was touched at or after `untouchedSinceMs`. */
  unlinkBlob(repository: string, digest: Digest, untouchedSinceMs?: number): Promise<boolean>;
  blobLinks(repository: string): Promise<{ readonly digest: Digest; readonly touchedMs: number }[]>;

  /** All stored blobs, manifests too. */
  blobs(): AsyncIterable<FoundBlob>;
  /** Removes stored bytes for good. False when a client touched them at or after `untouchedSinceMs`. */
  removeBlob(digest: Digest, untouchedSinceMs: number): Promise<boolean>;

  beginUpload(repository: string): Promise<string>;
  /** Bytes that the upload has; undefined when the repository has no such upload. */
  uploadOffset(repository: string, id: string): Promise<number | undefined>;
  /** Appends. Resolves with the new offset, or undefined when there is no such upload. */
  writeUpload(repository: string, id: string, data: AsyncIterable<Uint8Array>): Promise<number | undefined>;
  /** The upload becomes a blob with a link. With other bytes than the digest says it is removed. */
  commitUpload(repository: string, id: string, digest: Digest): Promise<UploadResult>;
  cancelUpload(repository: string, id: string): Promise<boolean>;
  /** Removes uploads that got no byte since then. Resolves with their number. */
  removeUploads(untouchedSinceMs: number): Promise<number>;

  /** Stores the bytes, then the row, then the tags. */
  putManifest(repository: string, row: ManifestRow, raw: Uint8Array, tags: readonly string[]): Promise<void>;
  findManifest(repository: string, digest: Digest): Promise<ManifestRow | undefined>;
  manifests(repository: string): Promise<ManifestRow[]>;
  /** Removes the tags that point to it too. False when there is none. */
  deleteManifest(repository: string, digest: Digest): Promise<boolean>;
  /** The manifests of the repository with this subject. */
  referrers(repository: string, subject: Digest): Promise<Digest[]>;

  tags(repository: string): Promise<string[]>;
  findTag(repository: string, tag: string): Promise<TagRow | undefined>;
  deleteTag(repository: string, tag: string): Promise<boolean>;
}
