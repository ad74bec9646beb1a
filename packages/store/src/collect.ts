/**
 * The garbage collector. One transaction decides and removes the rows; directories are then renamed away and files unlinked. It
 * runs on the thread that owns the database, so no row appears in between; only blobs are written by other threads, and those
 * are told apart by their inode.
 */
import { linkSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { randomId } from "@fathom/base";
import { parseChainId, parseDigest, type Digest } from "@fathom/spec";
import { inodeMark } from "./content/content.ts";
import { blobPath, temporaryDirectory } from "./content/content-writer.ts";
import type { CollectResult, Database } from "./contract.ts";
import type { StoreLeases } from "./leases.ts";
import type { OverlayLayout } from "./snapshots/layout.ts";
import { numberColumn, optionalText, textColumn } from "./database/rows.ts";

const unreachableBlobs = `
  SELECT digest, size, inode FROM blobs
  WHERE digest NOT IN (
    SELECT id FROM images
    UNION SELECT digest FROM image_blobs
    UNION SELECT target FROM image_references WHERE target IS NOT NULL
    UNION SELECT name FROM lease_holds WHERE kind = 'blob'
  ) ORDER BY digest`;

const unreachableLayers = `
  WITH RECURSIVE reached (chain_id) AS (
    SELECT chain_id FROM image_layers
    UNION SELECT parent FROM container_layers WHERE parent IS NOT NULL
    UNION SELECT name FROM lease_holds WHERE kind = 'layer'
    UNION SELECT layers.parent FROM layers JOIN reached USING (chain_id) WHERE layers.parent IS NOT NULL
  )
  SELECT chain_id, parent, cache_id, link, size FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM reached)`;

interface LayerVictim {
  readonly chainId: string;
  readonly parent: string | undefined;
  readonly cacheId: string;
  readonly link: string;
  readonly size: number;
}

export function collectGarbage(
  root: string,
  database: Database,
  layout: OverlayLayout,
  leases: StoreLeases,
): CollectResult {
  const { blobs, layers } = database.transaction(() => {
    leases.dropExpired();
    const blobs: { digest: Digest; size: number; inode: string }[] = [];
    for (const row of database.all(unreachableBlobs)) {
      const digest = parseDigest(textColumn(row, "digest"));
      const inode = textColumn(row, "inode");
      const now = inodeMark(blobPath(root, digest));
      if (now !== undefined && now !== inode) {
        // Somebody stored it anew and is about to record it: it stays for this round.
        database.run("UPDATE blobs SET inode = ? WHERE digest = ?", now, digest);
        continue;
      }
      database.run("DELETE FROM blobs WHERE digest = ?", digest);
      blobs.push({ digest, size: numberColumn(row, "size"), inode });
    }
    const layers = topmostFirst(
      database.all(unreachableLayers).map((row) => ({
        chainId: textColumn(row, "chain_id"),
        parent: optionalText(row, "parent"),
        cacheId: textColumn(row, "cache_id"),
        link: textColumn(row, "link"),
        size: numberColumn(row, "size"),
      })),
    );
    for (const layer of layers) database.run("DELETE FROM layers WHERE chain_id = ?", layer.chainId);
    return { blobs, layers };
  });

  for (const layer of layers) layout.discard(layer.cacheId, layer.link);
  for (const blob of blobs) unlinkBlob(root, blob.digest, blob.inode);
  return {
    blobs: blobs.map(({ digest }) => digest),
    layers: layers.map(({ chainId }) => parseChainId(chainId)),
    reclaimedBytes: [...blobs, ...layers].reduce((sum, { size }) => sum + size, 0),
  };
}

function topmostFirst(layers: readonly LayerVictim[]): LayerVictim[] {
  const byId = new Map(layers.map((layer) => [layer.chainId, layer]));
  const depths = new Map<string, number>();
  function depth(layer: LayerVictim): number {
    const known = depths.get(layer.chainId);
    if (known !== undefined) return known;
    const parent = layer.parent === undefined ? undefined : byId.get(layer.parent);
    const value = parent === undefined ? 0 : depth(parent) + 1;
    depths.set(layer.chainId, value);
    return value;
  }
  return [...layers].sort((a, b) => depth(b) - depth(a) || (a.chainId < b.chainId ? -1 : 1));
}

/**
 * Another thread may rename a fresh file over this one between our look and our unlink, so the file is first taken aside, and
 * put back when it turns out to be another one.
 */
function unlinkBlob(root: string, digest: Digest, inode: string): void {
  const path = blobPath(root, digest);
  const aside = join(temporaryDirectory(root), randomId());
  try {
    renameSync(path, aside);
  } catch {
    return; // Gone already.
  }
  const taken = statSync(aside, { bigint: true });
  if (`${taken.ino}` !== inode.split(":")[0]) {
    try {
      linkSync(aside, path);
    } catch {
      // A third one was stored meanwhile: that one is as good.
    }
  }
  rmSync(aside, { force: true });
}
