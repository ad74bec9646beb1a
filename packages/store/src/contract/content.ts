/** Bytes by digest. */
import type { Digest } from "@fathom/spec";
import type { Lease } from "./leases.ts";

export interface ContentInfo {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface ContentWriter {
  /** Number of bytes written so far. */
  readonly offset: number;
  /** Synchronous, for worker threads. Fails when the blob would become larger than expected. */
  write(chunk: Uint8Array): void;
  /** After the last byte: checks size and digest. @throws data-loss when they differ; the temporary file is then removed. */
  verify(): void;
  /** Verifies the blob, if that was not done, and makes it durable and visible. @throws as `verify` */
  commit(): ContentInfo;
  /** Drops it. May be called again, and does nothing after commit. */
  abort(): void;
}

export interface ContentStore {
  info(digest: Digest): ContentInfo | undefined;
  /** Absolute path of a stored blob. @throws not-found */
  path(digest: Digest): string;
  /** The whole bytes, for manifests and configs. @throws not-found, resource-exhausted above `limitBytes` */
  read(digest: Digest, limitBytes: number): Uint8Array;
  stream(digest: Digest, offset?: number): ReadableStream<Uint8Array>;
  /** May be called in a worker thread, because it only touches files. `record` adds the row. */
  writer(expected: { readonly digest: Digest; readonly size: number }): ContentWriter;
  /** Adds a row for a committed blob, under a lease. */
  record(info: ContentInfo, lease: Lease): void;
  /** writer + commit + record, for bytes in memory. */
  put(data: Uint8Array, lease: Lease): ContentInfo;
  list(): ContentInfo[];
}
