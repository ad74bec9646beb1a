/**
 * A store in memory, for tests of packages above: it writes no file and mounts nothing. Leases, images and the collector are the real ones with
 * a database in memory; bytes, layers and snapshots are fakes. Each call of each part can fail or hang (`faults`), with its part's name:
 * "content.put", "images.tag", "collector.collect".
 */
import { rmSync } from "node:fs";
import { silentLogger, systemClock, type Clock } from "@fathom/base";
import { Faults } from "@fathom/base/testing";
import { createCollector } from "../collector/collector.ts";
import type {
  Collector,
  ContentStore,
  Database,
  ImageStore,
  LayerStore,
  Leases,
  Snapshotter,
  Store,
} from "../contract.ts";
import { openDatabase } from "../database/database.ts";
import { storeMigrations } from "../database/schema.ts";
import { createImageStore, reachedByImages } from "../images/images.ts";
import { createLeases } from "../leases/leases.ts";
import { FakeContent } from "./fake-content.ts";
import { FakeLayers } from "./fake-layers.ts";
import { FakeSnapshotter } from "./fake-snapshotter.ts";

export interface FakeStoreOptions {
  readonly faults?: Faults;
  readonly clock?: Clock;
  readonly root?: string;
  readonly snapshots?: FakeSnapshotter;
  /** The database for the rows of other packages. Default: the store's own. */
  readonly database?: Database;
  /** The next start of the engine, with the data that this one left. */
  readonly after?: FakeStore;
}

export class FakeStore implements Store {
  readonly root: string;
  readonly faults: Faults;
  readonly database: Database;
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly snapshots: Snapshotter;
  readonly images: ImageStore;
  readonly leases: Leases;
  readonly collector: Collector;
  /** Without faults, for the test's own actions on it. */
  readonly bytes: FakeContent;
  readonly #rows: Database;
  readonly #discard: { discard(path: string): void };

  constructor(options: FakeStoreOptions = {}) {
    const { faults = new Faults(), clock = systemClock, after, root = "/fake-store" } = options;
    const { snapshots = new FakeSnapshotter() } = options;
    this.root = root;
    this.faults = faults;
    this.#rows = after === undefined ? openDatabase(":memory:") : after.#rows;
    this.#rows.migrate("store", storeMigrations);
    const leases = createLeases(this.#rows, clock);
    this.bytes = after?.bytes ?? new FakeContent(this.#rows, leases);
    const files = this.bytes.files;
    const collector = createCollector(
      this.#rows,
      { inode: files.inode, remove: async (blobs) => blobs.forEach(({ digest }) => files.remove(digest)) },
      silentLogger,
    );
    collector.root("leases", () => leases.reached());
    collector.root("images", () => reachedByImages(this.#rows));
    collector.root("snapshots", () => ({ layers: snapshots.list().flatMap(({ parent }) => parent ?? []) }));
    this.database = options.database ?? faults.wrap("database", this.#rows);
    this.content = faults.wrap("content", this.bytes);
    this.layers = faults.wrap("layers", new FakeLayers(this.#rows, leases, snapshots));
    this.snapshots = faults.wrap("snapshots", snapshots);
    this.images = faults.wrap("images", createImageStore(this.#rows, leases));
    this.leases = faults.wrap("leases", leases);
    this.collector = faults.wrap("collector", collector);
    this.#discard = faults.wrap("store", { discard: (path) => rmSync(path, { recursive: true, force: true }) });
  }

  discard(path: string): void {
    this.#discard.discard(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#rows.close();
  }
}
