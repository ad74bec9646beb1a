/**
 * The store: bytes by digest (content), file systems by chain of layers (snapshots), names of images, one SQLite database, and leases that
 * protect unfinished objects from the garbage collector.
 *
 * Promises
 * - A blob is visible under its digest only when it is whole and verified. Writing it again is a no-op.
 * - A committed image layer's directory is never written again.
 * - Every operation either finishes, or leaves nothing (`open` of the store removes what a crash left: temporary files, layer directories
 *   without a row).
 * - Nothing that a lease names is collected while the lease exists. A lease is a row with an owner, so it survives a crash. When the engine
 *   starts, it releases the leases of its own earlier starts. A client's lease holds until it is released or expires.
 * - A full disk is EngineError "resource-exhausted"; the store stays correct.
 *
 * Layout below the root: see ARCHITECTURE.md ("State on disk").
 */
import type { Collector } from "./contract/collector.ts";
import type { ContentStore } from "./contract/content.ts";
import type { Database } from "./contract/database.ts";
import type { ImageStore } from "./contract/images.ts";
import type { LayerStore } from "./contract/layers.ts";
import type { Leases } from "./contract/leases.ts";
import type { Snapshotter } from "./contract/snapshots.ts";

export type * from "./contract/collector.ts";
export type * from "./contract/content.ts";
export type * from "./contract/database.ts";
export type * from "./contract/images.ts";
export type * from "./contract/layers.ts";
export type * from "./contract/leases.ts";
export type * from "./contract/snapshots.ts";

export interface Store extends AsyncDisposable {
  readonly root: string;
  readonly database: Database;
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly snapshots: Snapshotter;
  readonly images: ImageStore;
  readonly leases: Leases;
  readonly collector: Collector;
  /**
   * Moves a file or a tree of the same disk away at once, and frees it in the background. A path that does not exist is no error.
   * @throws EXDEV when it is on another disk
   */
  discard(path: string): void;
}
