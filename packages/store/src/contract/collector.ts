/**
 * The garbage collector. Code that needs blobs or layers registers a root with a name. A collection asks every root, and removes everything
 * that no root reaches.
 *
 * The store registers its own roots: `images` (names, and what they hold), `leases`, and `snapshots` (the layers below containers, mounted
 * images and build steps). Another owner must register before the first collection after the start, because what it needs has no other
 * protection.
 */
import type { ChainId, Digest } from "@fathom/spec";

/** What a root needs. It need not name the layers below a layer. */
export interface Reached {
  readonly blobs?: Iterable<Digest>;
  readonly layers?: Iterable<ChainId>;
}

export interface Collector {
  /**
   * Registers a root until the result is disposed.
   * @param reach Called in the collection's transaction, so it must not wait or collect. When it fails, nothing is collected.
   * @throws conflict when the name is taken
   */
  root(name: string, reach: () => Reached): Disposable;
  /** Removes blobs and layers that no root reaches. @throws the error of a root, with the root's name; then nothing is removed */
  collect(): Promise<CollectResult>;
}

export interface CollectResult {
  readonly blobs: readonly Digest[];
  /** Chain ids of removed layers, topmost first. */
  readonly layers: readonly ChainId[];
  readonly reclaimedBytes: number;
}
