/**
 * The garbage collector. Whoever needs blobs or layers registers a root by its name. A collection asks every root, and removes what none of them reaches.
 *
 * The store registers its own: `images` (names, and what they hold), `leases`, and `snapshots` (the layers below containers, mounted images and build steps). Another owner registers
 * before the first collection after the start: what it needs has no other protection.
 */
import type { ChainId, Digest } from "@fathom/spec";

/** What a root needs. Layers below a layer need not be named. */
export interface Reached {
  readonly blobs?: Iterable<Digest>;
  readonly layers?: Iterable<ChainId>;
}

export interface Collector {
  /**
   * Registers a root until the result is disposed.
   * @param reach Is asked in the collection's transaction, so it neither waits nor collects. When it fails, nothing is collected.
   * @throws conflict when the name is taken
   */
  root(name: string, reach: () => Reached): Disposable;
  /** Removes blobs and layers that no root reaches. @throws what a root throws, with the root's name; nothing is removed then */
  collect(): Promise<CollectResult>;
}

export interface CollectResult {
  readonly blobs: readonly Digest[];
  /** Chain ids of removed layers, topmost first. */
  readonly layers: readonly ChainId[];
  readonly reclaimedBytes: number;
}
