/** Shared by the tests of this package. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@fathom/base";
import { parseDiffId, sha256Digest, type ChainId, type DiffId } from "@fathom/spec";
import { createSys } from "@fathom/sys";
import type { Layer, Lease, Store } from "../contract.ts";
import { openStore, type OpenStoreOptions } from "../store.ts";

/** A directory that is removed at the end of the scope. */
export function temporaryRoot(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "fathom-store-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export function openTestStore(root: string, options: Partial<OpenStoreOptions> = {}): Promise<Store> {
  return openStore({ root, sys: createSys(), logger: silentLogger, syncFilesystem: async () => undefined, ...options });
}

/** What kill -9 leaves for the next process: the files, and no lock on the database. No part of a clean end happens. */
export function crash(store: Store): void {
  store.database.close();
}

export function diffIdOf(text: string): DiffId {
  return parseDiffId(sha256Digest(text));
}

/** A layer whose one file has the layer's name. */
export function addLayer(store: Store, lease: Lease, parent: ChainId | undefined, name: string): Layer {
  const draft = store.layers.draft();
  writeFileSync(join(draft.diffPath, name), name);
  return draft.commit(parent, diffIdOf(name), name.length, lease);
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
