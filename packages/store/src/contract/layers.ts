/** Image layers: directories that are filled once and never written again. */
import type { ChainId, DiffId } from "@fathom/spec";
import type { Lease } from "./leases.ts";

/** An image layer that is on disk. */
export interface Layer {
  readonly chainId: ChainId;
  /** undefined for a layer that was committed without a tar, until `Snapshotter.describe`. */
  readonly diffId: DiffId | undefined;
  readonly parent: ChainId | undefined;
  /** Directory name below overlay2/. */
  readonly cacheId: string;
  /** Absolute path of its `diff` directory. */
  readonly diffPath: string;
  /** Bytes of its files (apparent size), as `docker history` shows. */
  readonly size: number;
}

/** A layer directory that is being filled. It has no place in a chain yet, so all layers of an image can be filled at the same time. */
export interface LayerDraft {
  readonly cacheId: string;
  /** Absolute path of the directory to unpack into; exists, empty. */
  readonly diffPath: string;
  /**
   * Puts it on top of `parent`. When that chain id exists already, the draft is dropped and the existing layer is returned.
   * @param implied As for `inherit`, when there are only a few: this function does not yield.
   */
  commit(parent: ChainId | undefined, diffId: DiffId, size: number, lease: Lease, implied?: readonly string[]): Layer;
  /**
   * Before the commit: directories (byte-string paths) get owner, mode, xattrs and times from the layers below, if those have them. Yields
   * again and again; the parent must be held meanwhile.
   */
  inherit(parent: ChainId | undefined, implied: readonly string[]): Promise<void>;
  abort(): void;
}

export interface LayerStore {
  get(chainId: ChainId): Layer | undefined;
  list(): Layer[];
  draft(): LayerDraft;
  /** Holds an existing layer under a lease; false when it does not exist (or was just collected). */
  hold(chainId: ChainId, lease: Lease): boolean;
}

/** Fills `diffPath` from an uncompressed layer tar that is pushed in chunks; synchronous, for worker threads. */
export interface LayerUnpacker {
  write(chunk: Uint8Array): void;
  /** After the last chunk. @throws invalid-argument for a hostile or broken archive; the message names the entry and the rule. */
  finish(): UnpackedLayer;
  abort(): void;
}

export interface UnpackedLayer {
  readonly diffId: DiffId;
  /** Bytes of its files. */
  readonly size: number;
  readonly entries: number;
  /** For `LayerDraft.commit`: directories that were made for entries below them and have no entry of their own. */
  readonly implied: readonly string[];
}
