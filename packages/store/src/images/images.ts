/** Images of one platform by the digest of their config, and the names that hold them. */
import { EngineError } from "@fathom/base";
import { parseChainId, parseDigest, type Digest } from "@fathom/spec";
import type { Database, ImageRecord, ImageStore, Reached } from "../contract.ts";
import { numberColumn, optionalText, textColumn, type Row } from "../database/rows.ts";
import type { StoreLeases } from "../leases/leases.ts";
import { findChain } from "../snapshots/chain.ts";
import { allNames, findName, namesThatHold, writeName } from "./names.ts";

function digestColumn(row: Row, name: string): Digest | undefined {
  const text = optionalText(row, name);
  return text === undefined ? undefined : parseDigest(text);
}

const shownImages = `
  SELECT id, stored_at, size, parent FROM images
  WHERE id IN (SELECT image FROM image_name_images WHERE position = 0) OR id NOT IN (SELECT image FROM image_name_images)
  ORDER BY id`;

export function createImageStore(database: Database, leases: StoreLeases): ImageStore {
  function digests(image: Digest, kind: "layer" | "manifest"): Digest[] {
    return database
      .all("SELECT digest FROM image_blobs WHERE image = ? AND kind = ? ORDER BY position", image, kind)
      .map((row) => parseDigest(textColumn(row, "digest")));
  }

  function toRecord(row: Row): ImageRecord {
    const id = parseDigest(textColumn(row, "id"));
    return {
      id,
      layers: database
        .all("SELECT chain_id FROM image_layers WHERE image = ? ORDER BY position", id)
        .map((layer) => parseChainId(textColumn(layer, "chain_id"))),
      blobs: digests(id, "layer"),
      manifests: digests(id, "manifest"),
      storedAt: textColumn(row, "stored_at"),
      size: numberColumn(row, "size"),
      parent: digestColumn(row, "parent"),
    };
  }

  function addBlobs(image: Digest, kind: "layer" | "manifest", list: readonly Digest[]): void {
    const first = database.get(
      "SELECT COALESCE(MAX(position) + 1, 0) AS next FROM image_blobs WHERE image = ? AND kind = ?",
      image,
      kind,
    )!;
    const next = numberColumn(first, "next");
    list.forEach((digest, index) =>
      database.run(
        "INSERT OR IGNORE INTO image_blobs (image, kind, position, digest) VALUES (?, ?, ?, ?)",
        image,
        kind,
        next + index,
        digest,
      ),
    );
  }

  return {
    put(image, lease) {
      database.transaction(() => {
        if (database.get("SELECT 1 AS found FROM blobs WHERE digest = ?", image.id) === undefined)
          throw new EngineError("not-found", `image ${image.id}: its config is not in the content store`);
        const layers = image.layers.map((chainId) => {
          const found = findChain(database, chainId);
          if (found === undefined)
            throw new EngineError("not-found", `image ${image.id}: its layer ${chainId} does not exist`);
          return found;
        });
        const isNew = database.run(
          "INSERT OR IGNORE INTO images (id, stored_at, size, parent) VALUES (?, ?, ?, ?)",
          image.id,
          image.storedAt,
          image.size,
          image.parent ?? null,
        );
        if (isNew.changes > 0) {
          layers.forEach((chainId, position) =>
            database.run(
              "INSERT INTO image_layers (image, position, chain_id) VALUES (?, ?, ?)",
              image.id,
              position,
              chainId,
            ),
          );
        }
        addBlobs(image.id, "layer", image.blobs);
        addBlobs(image.id, "manifest", image.manifests);
        // The image's row protects all of this. The lease continues to protect it when somebody removes the row at once.
        for (const digest of [image.id, ...image.blobs, ...image.manifests]) leases.hold(lease, "blob", digest);
        for (const chainId of layers) leases.hold(lease, "layer", chainId);
      });
    },
    get(id) {
      const row = database.get("SELECT id, stored_at, size, parent FROM images WHERE id = ?", id);
      return row === undefined ? undefined : toRecord(row);
    },
    list: () => database.all(shownImages).map(toRecord),
    find(prefix) {
      const hex = prefix.startsWith("sha256:") ? prefix.slice("sha256:".length) : prefix;
      if (!/^[0-9a-f]{1,64}$/.test(hex)) return [];
      // "g" sorts after every hex digit.
      return database
        .all("SELECT id FROM images WHERE id >= ? AND id < ? ORDER BY id", `sha256:${hex}`, `sha256:${hex}g`)
        .map((row) => parseDigest(textColumn(row, "id")));
    },
    children: (id) =>
      database
        .all("SELECT id FROM images WHERE parent = ? ORDER BY id", id)
        .map((row) => parseDigest(textColumn(row, "id"))),
    remove(id) {
      database.transaction(() => {
        const holder = database.get("SELECT name FROM image_name_images WHERE image = ?", id);
        if (holder !== undefined)
          throw new EngineError(
            "conflict",
            `image ${id} cannot be removed: ${textColumn(holder, "name")} refers to it`,
          );
        const child = database.get("SELECT id FROM images WHERE parent = ?", id);
        if (child !== undefined)
          throw new EngineError("conflict", `image ${id} cannot be removed: ${textColumn(child, "id")} is built on it`);
        database.run("DELETE FROM images WHERE id = ?", id);
      });
    },
    names: (id) => (id === undefined ? allNames(database) : namesThatHold(database, id)),
    named: (name) => findName(database, name),
    tag: (named) => database.transaction(() => writeName(database, named)),
    untag: (name) => database.run("DELETE FROM image_names WHERE name = ?", name).changes > 0,
  };
}

/** A root of the collector. */
export function reachedByImages(database: Database): Reached {
  return {
    blobs: database
      .all(
        "SELECT id AS digest FROM images UNION ALL SELECT digest FROM image_blobs UNION ALL SELECT target FROM image_names UNION ALL SELECT digest FROM image_name_content",
      )
      .map((row) => parseDigest(textColumn(row, "digest"))),
    layers: database
      .all("SELECT DISTINCT chain_id FROM image_layers")
      .map((row) => parseChainId(textColumn(row, "chain_id"))),
  };
}
