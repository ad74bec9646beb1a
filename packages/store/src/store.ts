/** Connects the parts of the store. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock, type Clock, type Logger } from "@fathom/base";
import type { Sys } from "@fathom/sys";
import { createCollector } from "./collector/collector.ts";
import { storeFiles } from "./collector/store-files.ts";
import { createContentStore } from "./content/content.ts";
import type { Store } from "./contract.ts";
import { openDatabase, type DatabaseOptions } from "./database/database.ts";
import { setDatabaseAside } from "./database/database-file.ts";
import { storeMigrations } from "./database/schema.ts";
import { completeNames } from "./images/complete-names.ts";
import { createImageStore, reachedByImages } from "./images/images.ts";
import { createLeases } from "./leases/leases.ts";
import type { DescribeLayers } from "./recovery/described.ts";
import { createDurability } from "./recovery/durability.ts";
import { recover } from "./recovery/recover.ts";
import { createLayerStore } from "./snapshots/layers.ts";
import { createLayout } from "./snapshots/layout.ts";
import { createOverlaySnapshotter, reachedBySnapshots } from "./snapshots/overlay-snapshotter.ts";
import { createTrash } from "./trash.ts";

export interface OpenStoreOptions {
  /** Absolute path; made with mode 0710 if it does not exist. Only one process may have it open: the daemon holds its lock. */
  readonly root: string;
  readonly sys: Sys;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Makes files below a path durable, not on this thread. */
  readonly syncFilesystem: (path: string) => Promise<void>;
  /** Removes a tree, not on this thread. Default: the runtime's own function, which occupies one of its few threads. */
  readonly removeTree?: (path: string) => Promise<void>;
  /** Checks the database's file while it is open (database.ts). Default: on this thread. */
  readonly checkDatabaseFile?: NonNullable<DatabaseOptions["checkFile"]>;
  /** For containers that are on disk but not in the database; without it their layers are leftovers. */
  readonly describe?: DescribeLayers;
  /** Begins with an empty database; the existing one is kept under another name. */
  readonly rebuildDatabase?: boolean;
  /** Kernel boot id, for tests. */
  readonly bootId?: string;
}

function currentBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/**
 * Opens or makes a store and repairs what a crash left (recover.ts). Leases do not change: the engine calls `leases.releaseEarlier` when it
 * starts.
 * @throws data-loss when the database is damaged, conflict when a newer program wrote it, resource-exhausted when the disk is full.
 */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
  const { root, sys, clock = systemClock, syncFilesystem, removeTree } = options;
  const logger = options.logger.child({ component: "store" });
  const bootId = options.bootId ?? currentBootId();
  mkdirSync(root, { recursive: true, mode: 0o710 });
  mkdirSync(join(root, "content"), { recursive: true, mode: 0o700 });
  const path = join(root, "fathom.db");
  if (options.rebuildDatabase === true) setDatabaseAside(path, logger);
  const { checkDatabaseFile: checkFile } = options;
  const database = openDatabase(path, checkFile === undefined ? {} : { checkFile });
  try {
    database.migrate("store", storeMigrations);
    const layout = createLayout(root);
    const trash = createTrash(layout.trashDirectory, logger, removeTree);
    const { describe } = options;
    await recover({ root, database, layout, bootId, logger, ...(describe === undefined ? {} : { describe }) });
    trash.empty();
    const durability = createDurability(database, () => syncFilesystem(root), logger);
    durability.request();
    const leases = createLeases(database, clock);
    const content = createContentStore(root, database, leases, bootId, durability.request);
    const layers = createLayerStore({
      database,
      layout,
      trash,
      sys,
      leases,
      bootId,
      requestSync: durability.request,
      logger,
    });
    const snapshots = createOverlaySnapshotter({
      database,
      layout,
      layers,
      trash,
      sys,
      leases,
      bootId,
      requestSync: durability.request,
    });
    const images = createImageStore(database, leases);
    completeNames(database, content, logger);
    const collector = createCollector(database, storeFiles(root, layout, trash), logger);
    collector.root("leases", () => leases.reached());
    collector.root("images", () => reachedByImages(database));
    collector.root("snapshots", () => reachedBySnapshots(database));
    return {
      root,
      database,
      content,
      layers,
      snapshots,
      images,
      leases,
      collector,
      discard(path) {
        trash.take(path);
        trash.empty();
      },
      async [Symbol.asyncDispose]() {
        await durability.close();
        await trash.settled();
        database.close();
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
}
