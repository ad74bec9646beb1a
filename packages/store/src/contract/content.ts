/** Bytes by digest. */
import type { Digest } from "@fathom/spec";
import type { Lease } from "./leases.ts";

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
