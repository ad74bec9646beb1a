/** The cache: keys of steps, and the layers that they made. It is a root of the collector. */
import { formatRfc3339Nano, type Clock } from "@fathom/base";
import { parseChainId, parseDigest, sha256Digest, type ChainId, type Digest } from "@fathom/spec";
import type { Lease, Store } from "@fathom/store";
import type { CacheEntry } from "../contract.ts";

/** Entries; the one that was used longest ago leaves first. */
const mostEntries = 2000;

export interface CachedStep {
  /** undefined: the files are those of no layer at all. */
  readonly top: ChainId | undefined;
  readonly createdAt: string;
}

export class StepCache {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    store.database.migrate("builder", [
      {
        version: 1,
        up: [
          "CREATE TABLE build_cache (key TEXT PRIMARY KEY, chain TEXT, description TEXT NOT NULL, size INTEGER NOT NULL, created TEXT NOT NULL, used TEXT NOT NULL, uses INTEGER NOT NULL) STRICT, WITHOUT ROWID",
          "CREATE TABLE build_images (key TEXT PRIMARY KEY, image TEXT NOT NULL, used TEXT NOT NULL) STRICT, WITHOUT ROWID",
        ],
      },
    ]);
    store.collector.root("build-cache", () => ({
      layers: store.database
        .all("SELECT DISTINCT chain FROM build_cache WHERE chain IS NOT NULL")
        .map(({ chain }) => parseChainId(String(chain))),
    }));
  }

  /** undefined when it is not there, or its layer is gone; otherwise the lease holds the layer. */
  find(key: string, lease: Lease): CachedStep | undefined {
    const { database, layers } = this.#store;
    const row = database.get("SELECT chain, created FROM build_cache WHERE key = ?", key);
    if (row === undefined) return undefined;
    const top = typeof row["chain"] === "string" ? parseChainId(row["chain"]) : undefined;
    if (top !== undefined && !layers.hold(top, lease)) {
      database.run("DELETE FROM build_cache WHERE key = ?", key);
      return undefined;
    }
    database.relaxed(() =>
      database.run("UPDATE build_cache SET used = ?, uses = uses + 1 WHERE key = ?", this.#now(), key),
    );
    return { top, createdAt: String(row["created"]) };
  }

  put(key: string, top: ChainId | undefined, description: string, size: number): CachedStep {
    const createdAt = this.#now();
    const { database } = this.#store;
    database.transaction(() => {
      database.run(
        "INSERT OR REPLACE INTO build_cache (key, chain, description, size, created, used, uses) VALUES (?, ?, ?, ?, ?, ?, 0)",
        key,
        top ?? null,
        description,
        size,
        createdAt,
        createdAt,
      );
      for (const table of ["build_cache", "build_images"])
        database.run(
          `DELETE FROM ${table} WHERE key IN (SELECT key FROM ${table} ORDER BY used DESC LIMIT -1 OFFSET ?)`,
          mostEntries,
        );
    });
    return { top, createdAt };
  }

  /** The image that a build with this key made; it may have been removed. */
  image(key: string): Digest | undefined {
    const row = this.#store.database.get("SELECT image FROM build_images WHERE key = ?", key);
    return row === undefined ? undefined : parseDigest(String(row["image"]));
  }

  putImage(key: string, image: Digest): void {
    this.#store.database.run(
      "INSERT OR REPLACE INTO build_images (key, image, used) VALUES (?, ?, ?)",
      key,
      image,
      this.#now(),
    );
  }

  list(): CacheEntry[] {
    return this.#store.database
      .all("SELECT key, description, size, created, used, uses FROM build_cache ORDER BY created, key")
      .map((row) => ({
        key: String(row["key"]),
        description: String(row["description"]),
        size: Number(row["size"]),
        createdAt: String(row["created"]),
        usedAt: String(row["used"]),
        uses: Number(row["uses"]),
      }));
  }

  remove(key: string): void {
    this.#store.database.run("DELETE FROM build_cache WHERE key = ?", key);
  }

  #now(): string {
    return formatRfc3339Nano(this.#clock.nowNs());
  }
}

/** The key of a step: its definition on top of the key of what is below. */
export function keyOf(...definition: readonly unknown[]): string {
  return sha256Digest(Buffer.from(JSON.stringify(definition)));
}
