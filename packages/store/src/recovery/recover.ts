/**
 * Repairs what a crash or a power loss left, before the store is used.
 *
 * After a crash of the daemon all files are complete (the page cache survived it): temporary files, drafts and directories without a row are
 * removed; verified blobs without a row get one, so that the next pull finds them. After a power loss, rows whose bytes may not have been on
 * disk are checked again: blobs are hashed; layers cannot be checked, so they are dropped, with the images that need them.
 */
import { createReadStream, existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "@fathom/base";
import { isDigest, type Digest } from "@fathom/spec";
import { inodeMark } from "../content/content.ts";
import { blobPath, temporaryDirectory } from "../content/content-writer.ts";
import type { Database } from "../contract.ts";
import { recoverDescribed, type DescribeLayers } from "./described.ts";
import type { OverlayLayout } from "../snapshots/layout.ts";
import { optionalText, textColumn } from "../database/rows.ts";

export interface RecoveryParts {
  readonly root: string;
  readonly database: Database;
  readonly layout: OverlayLayout;
  readonly bootId: string;
  readonly logger: Logger;
  readonly describe?: DescribeLayers;
}

export async function recover(parts: RecoveryParts): Promise<void> {
  const { root, database, bootId } = parts;
  const temporary = temporaryDirectory(root);
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
  // Emptied, not made again, because that could fail on a full disk.
  for (const name of readdirSync(temporary)) rmSync(join(temporary, name), { recursive: true, force: true });
  mkdirSync(join(root, "content", "sha256"), { recursive: true, mode: 0o700 });

  const before = database.get("SELECT value FROM store_state WHERE key = 'boot'");
  const sameBoot = before !== undefined && textColumn(before, "value") === bootId;
  await recoverBlobs(parts, sameBoot);
  const incomplete = parts.describe === undefined ? new Set<string>() : recoverDescribed(parts, parts.describe);
  recoverLayers(parts);
  recoverImages(parts);
  recoverContainers(parts);
  recoverDirectories(parts, incomplete);
  database.run(
    "INSERT INTO store_state (key, value) VALUES ('boot', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    bootId,
  );
}

async function recoverBlobs({ root, database, bootId, logger }: RecoveryParts, sameBoot: boolean): Promise<void> {
  const files = new Set<Digest>();
  for (const algorithm of ["sha256", "sha512"]) {
    const directory = join(root, "content", algorithm);
    if (!existsSync(directory)) continue;
    for (const name of readdirSync(directory)) {
      const digest = `${algorithm}:${name}`;
      if (isDigest(digest)) files.add(digest);
    }
  }
  for (const row of database.all("SELECT digest, boot FROM blobs")) {
    const digest = textColumn(row, "digest");
    if (!isDigest(digest)) continue;
    const boot = optionalText(row, "boot");
    const present = files.delete(digest);
    const suspect = boot !== undefined && boot !== bootId;
    if (present && (!suspect || (await hashesTo(blobPath(root, digest), digest)))) {
      if (suspect) database.run("UPDATE blobs SET boot = NULL WHERE digest = ?", digest);
      continue;
    }
    logger.warn("a stored blob is gone or damaged and was dropped", { digest, present });
    rmSync(blobPath(root, digest), { force: true });
    database.run("DELETE FROM blobs WHERE digest = ?", digest);
  }
  for (const digest of files) {
    const path = blobPath(root, digest);
    if (!sameBoot && !(await hashesTo(path, digest))) {
      logger.warn("a blob without a row is damaged and was removed", { digest });
      rmSync(path, { force: true });
      continue;
    }
    database.run(
      "INSERT INTO blobs (digest, size, inode, boot) VALUES (?, ?, ?, ?)",
      digest,
      statSync(path).size,
      inodeMark(path) ?? "",
      bootId,
    );
    logger.debug("a blob without a row was adopted", { digest });
  }
}

async function hashesTo(path: string, digest: Digest): Promise<boolean> {
  const algorithm = digest.startsWith("sha512:") ? "sha512" : "sha256";
  const hasher = new Bun.CryptoHasher(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hasher.update(chunk);
  return `${algorithm}:${hasher.digest("hex")}` === digest;
}

/** Layers that are missing or may be incomplete, and all layers on top of them. */
function recoverLayers({ database, layout, bootId, logger }: RecoveryParts): void {
  const rows = database.all("SELECT chain_id, parent, cache_id, link, boot FROM layers");
  const doomed = new Map<string, string>();
  for (const row of rows) {
    const chainId = textColumn(row, "chain_id");
    const boot = optionalText(row, "boot");
    if (!existsSync(layout.diff(textColumn(row, "cache_id")))) doomed.set(chainId, "its directory is gone");
    else if (boot !== undefined && boot !== bootId) doomed.set(chainId, "power was lost before it was on disk");
  }
  for (let grown = doomed.size > 0; grown;) {
    grown = false;
    for (const row of rows) {
      const chainId = textColumn(row, "chain_id");
      const parent = optionalText(row, "parent");
      if (parent === undefined || doomed.has(chainId) || !doomed.has(parent)) continue;
      doomed.set(chainId, "a layer below it is damaged");
      grown = true;
    }
  }
  if (doomed.size === 0) return;

  // A container's files are on top, and they are worth more than certainty. So its layers stay, and a warning is logged.
  const needed = new Set<string>();
  for (const row of database.all("SELECT id, parent FROM container_layers")) {
    for (let at = optionalText(row, "parent"); at !== undefined;) {
      if (doomed.has(at) && !needed.has(at)) {
        logger.error("a layer of a container may be damaged", {
          container: textColumn(row, "id"),
          layer: at,
          reason: doomed.get(at),
        });
      }
      needed.add(at);
      const below = rows.find((layer) => layer["chain_id"] === at);
      at = below === undefined ? undefined : optionalText(below, "parent");
    }
  }
  database.transaction(() => {
    const removable = rows.filter((row) => {
      const chainId = textColumn(row, "chain_id");
      return doomed.has(chainId) && !needed.has(chainId);
    });
    for (const row of removable) {
      const chainId = textColumn(row, "chain_id");
      logger.warn("a damaged layer was dropped; pull its images again", {
        layer: chainId,
        reason: doomed.get(chainId),
      });
      for (const image of database.all("SELECT DISTINCT image FROM image_layers WHERE chain_id = ?", chainId)) {
        const id = textColumn(image, "image");
        dropImage(database, id);
        logger.warn("an image with a damaged layer was dropped; pull it again", { image: id });
      }
      // Rows below are removed later or stay, so the reference to the parent is removed first; recoverDirectories removes the files.
      database.run("UPDATE layers SET parent = NULL WHERE chain_id = ?", chainId);
    }
    for (const row of removable) database.run("DELETE FROM layers WHERE chain_id = ?", textColumn(row, "chain_id"));
    database.run("UPDATE layers SET boot = NULL WHERE boot IS NOT NULL AND boot <> ?", bootId);
  });
}

/** Without its config, nothing is known about an image: its blob was damaged, or was removed after the backup of the database. */
function recoverImages({ database, logger }: RecoveryParts): void {
  for (const row of database.all("SELECT id FROM images WHERE id NOT IN (SELECT digest FROM blobs)")) {
    const id = textColumn(row, "id");
    database.transaction(() => dropImage(database, id));
    logger.warn("an image whose config is gone was dropped; pull it again", { image: id });
  }
  const { changes } = database.run("DELETE FROM image_name_content WHERE digest NOT IN (SELECT digest FROM blobs)");
  if (changes > 0) logger.warn("content of attestations is gone: names no longer hold it", { blobs: changes });
}

/** Removes it with the names that show it; other names no longer hold it. Images committed on top of it stay. */
function dropImage(database: Database, id: string): void {
  database.run("UPDATE images SET parent = NULL WHERE parent = ?", id);
  database.run(
    "DELETE FROM image_names WHERE name IN (SELECT name FROM image_name_images WHERE image = ? AND position = 0)",
    id,
  );
  database.run("DELETE FROM image_name_images WHERE image = ?", id);
  database.run("DELETE FROM images WHERE id = ?", id);
}

function recoverContainers({ database, layout, logger }: RecoveryParts): void {
  for (const row of database.all("SELECT id, COALESCE(directory, id) AS directory FROM container_layers")) {
    const id = textColumn(row, "id");
    if (existsSync(layout.diff(textColumn(row, "directory")))) continue;
    logger.warn("the writable layer of a container is gone", { container: id });
    database.run("DELETE FROM container_layers WHERE id = ?", id);
  }
}

function recoverDirectories({ database, layout, logger }: RecoveryParts, incomplete: ReadonlySet<string>): void {
  const known = new Map<string, string>();
  const rows = database.all(
    "SELECT cache_id AS id, link FROM layers UNION ALL SELECT COALESCE(directory, id), link FROM container_layers",
  );
  for (const row of rows) known.set(textColumn(row, "id"), textColumn(row, "link"));
  // Any of them may belong to an incomplete container.
  if (incomplete.size > 0) return;
  for (const id of layout.ids()) {
    // Not a name that this store makes: for example lost+found.
    if (known.has(id) || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(id)) continue;
    logger.debug("a layer directory without a row is removed", { id });
    layout.discard(id, undefined);
  }
  const links = new Set(layout.links());
  for (const [id, link] of known) {
    if (!links.delete(link)) symlinkSync(`../${id}/diff`, layout.linkPath(link));
  }
  for (const link of links) rmSync(layout.linkPath(link), { force: true, recursive: true });
}
