/** The store that the contract suites open. */
import type { Clock } from "@fathom/base";
import type { ChainId, Digest } from "@fathom/spec";
import type { Layer, Lease, Store } from "../contract.ts";

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store;
  /** Ends this start of the engine without a clean end, and begins the next one with its data. */
  restart(): Promise<Store>;
  /** A layer of one file. */
  addLayer(lease: Lease, parent: ChainId | undefined, name: string): Layer;
  /** Changes the stored bytes, as a failing disk does. */
  damage(digest: Digest): void;
}

export type OpenStoreUnderTest = (clock: Clock) => Promise<StoreUnderTest>;
