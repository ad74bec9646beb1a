/** Shared by the root tests of the store. */
import { nameText, TarReader } from "@fathom/archive";
import type { TestEntry } from "@fathom/archive/testing";
import { silentLogger } from "@fathom/base";
import type { ChainId } from "@fathom/spec";
import {
  openStore,
  type Snapshot,
  type Layer,
  type Lease,
  type Store,
  writeLayerDiff,
  createLayerUnpacker,
} from "@fathom/store";
import { createSys, MNT_DETACH } from "@fathom/sys";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const sys = createSys();

export { makeTar as tar } from "@fathom/archive/testing";

export type Entry = TestEntry & { readonly path: string; readonly text?: string };

export const directory = (path: string, more: Partial<Entry> = {}): Entry => ({
  path: `${path}/`,
  kind: "directory",
  mode: 0o755,
  ...more,
});

/** A store in a directory of its own, and overlays of its containers; everything is removed at the end of the scope. */
export class StoreRig implements AsyncDisposable {
  readonly root: string;
  readonly store: Store;
  readonly lease: Lease;
  readonly #mounts: string[] = [];

  private constructor(root: string, store: Store) {
    this.root = root;
    this.store = store;
    this.lease = store.leases.create("test");
  }

  static async open(root = mkdtempSync(join(tmpdir(), "fathom-store-"))): Promise<StoreRig> {
    const options = { root, sys, logger: silentLogger, syncFilesystem: async () => undefined };
    return new StoreRig(root, await openStore(options));
  }

  /** Unpacks `archive` as a layer on `parent`. */
  layer(parent: ChainId | undefined, archive: Uint8Array): Layer {
    const draft = this.store.layers.draft();
    const unpacker = createLayerUnpacker(sys, draft.diffPath);
    try {
      unpacker.write(archive);
      const { diffId, size, implied } = unpacker.finish();
      return draft.commit(parent, diffId, size, this.lease, implied);
    } catch (error) {
      draft.abort();
      throw error;
    } finally {
      unpacker.abort();
    }
  }

  /** A container on `parent`, mounted at its `mergedPath`. */
  container(id: string, parent: ChainId | undefined): Snapshot {
    const layer = this.store.snapshots.prepare(id, parent, "container");
    const fd = sys.openOverlay(layer.mount);
    try {
      sys.moveMount(fd, -100, layer.mergedPath);
    } finally {
      sys.close(fd);
    }
    this.#mounts.push(layer.mergedPath);
    return layer;
  }

  /** The snapshot with this key, mounted until the scope ends. */
  mount(key: string): { readonly path: string } & Disposable {
    const { mergedPath, mount } = this.store.snapshots.get(key)!;
    const fd = sys.openOverlay(mount);
    try {
      sys.moveMount(fd, -100, mergedPath);
    } finally {
      sys.close(fd);
    }
    return { path: mergedPath, [Symbol.dispose]: () => sys.umount(mergedPath, MNT_DETACH) };
  }

  /** Its changes as a layer tar. */
  writeDiff(id: string, sink: (chunk: Uint8Array) => void): ReturnType<typeof writeLayerDiff> {
    const { diffPath, lowerPaths } = this.store.snapshots.get(id)!;
    return writeLayerDiff(sys, diffPath, lowerPaths, sink);
  }

  unmount(layer: Snapshot): void {
    sys.umount(layer.mergedPath, MNT_DETACH);
    this.#mounts.splice(this.#mounts.indexOf(layer.mergedPath), 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of this.#mounts) sys.umount(path, MNT_DETACH);
    await this.store[Symbol.asyncDispose]();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Names in a tar that is written into a sink. */
export async function readTarNames(write: (sink: (chunk: Uint8Array) => void) => Promise<unknown>): Promise<string[]> {
  const names: string[] = [];
  const reader = new TarReader({ entry: (entry) => void names.push(nameText(entry.path)), data() {}, end() {} });
  await write((chunk) => reader.push(chunk));
  reader.finish();
  return names;
}
