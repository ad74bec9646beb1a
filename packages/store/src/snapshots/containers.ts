/** Writable layers of containers. */
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError, type Logger } from "@fathom/base";
import { parseChainId, type ChainId } from "@fathom/spec";
import { AT_FDCWD, type Stat, type Sys } from "@fathom/sys";
import { changesOf } from "../tree/changes.ts";
import type { ContainerLayer, ContainerLayerStore, Database } from "../contract.ts";
import { diskUsage } from "../tree/disk-usage.ts";
import { storageError } from "../errors.ts";
import { chainLinks } from "./layers.ts";
import { randomLink, type OverlayLayout } from "./layout.ts";
import { optionalText, textColumn, type Row } from "../database/rows.ts";
import type { Trash } from "../trash.ts";
import { isDirectory, lookup, openMerged, openRoot } from "../tree/tree.ts";
import { writeLayerDiff } from "../tree/write-diff.ts";

export interface ContainerParts {
  readonly database: Database;
  readonly layout: OverlayLayout;
  readonly trash: Trash;
  readonly sys: Sys;
  readonly logger: Logger;
}

/**
 * What every overlay of a container is mounted with, where the kernel knows it. Its defaults are a matter of configuration; with
 * redirect_dir or metacopy on, a writable layer would no longer say by itself what the container changed.
 */
const pinnedOptions = ["index", "redirect_dir", "metacopy"] as const;

function overlayOptions(): (readonly [string, string])[] {
  return pinnedOptions
    .filter((name) => existsSync(`/sys/module/overlay/parameters/${name}`))
    .map((name) => [name, "off"] as const);
}

const idShape = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

/** What every container has, as in Docker's init layer: the mark of a container, places to mount on, and the old list of mounts. */
const ownFiles = [
  [".dockerenv", ""],
  ["dev/pts", "directory"],
  ["dev/shm", "directory"],
  ["dev/console", ""],
  ["proc", "directory"],
  ["sys", "directory"],
  ["etc/hostname", ""],
  ["etc/hosts", ""],
  ["etc/mtab", "/proc/mounts"],
  ["etc/resolv.conf", ""],
] as const;

/** A directory of the image in which own files are: what it is, and its directories in the layers, the uppermost first. */
interface ImageDirectory {
  readonly stat: Stat | undefined;
  readonly merged: readonly number[];
}

/**
 * Makes what the image lacks of them. None is a change (mount-stubs.ts). The image is looked at by descriptors, one name at a time: it may
 * have links and files where directories are expected. The container's own directory is new and empty.
 */
function addOwnFiles(sys: Sys, diffPath: string, lowerPaths: readonly string[]): void {
  const opened: number[] = [];
  try {
    for (const lower of lowerPaths) opened.push(openRoot(sys, lower));
    const layers = [...opened];
    const parents = new Map<string, ImageDirectory>([["", { stat: undefined, merged: layers }]]);
    const parentOf = (name: string): ImageDirectory => {
      const known = parents.get(name);
      if (known !== undefined) return known;
      const merged = openMerged(sys, layers, name);
      opened.push(...merged);
      const directory = { stat: lookup(sys, layers, name)?.stat, merged };
      parents.set(name, directory);
      return directory;
    };
    for (const [path, content] of ownFiles) {
      const slash = path.lastIndexOf("/");
      const parent = path.slice(0, Math.max(slash, 0));
      const { stat, merged } = parentOf(parent);
      // A link may lead anywhere.
      if (stat !== undefined && !isDirectory(stat)) continue;
      if (lookup(sys, merged, path.slice(slash + 1)) !== undefined) continue;
      const target = join(diffPath, path);
      if (parent !== "") mkdirSync(join(diffPath, parent), { recursive: true, mode: 0o755 });
      if (content === "directory") mkdirSync(target, { mode: 0o755 });
      else if (content !== "") symlinkSync(content, target);
      else writeFileSync(target, "", { mode: 0o755 });
    }
    // Merged with the image's, the upper one's attributes are those that are seen.
    for (const [parent, { stat }] of parents) {
      const made = join(diffPath, parent);
      if (parent === "" || stat === undefined || !existsSync(made)) continue;
      sys.fchownat(AT_FDCWD, made, stat.uid, stat.gid);
      sys.fchmodat(AT_FDCWD, made, stat.mode & 0o7777);
      sys.utimensat(AT_FDCWD, made, stat.atimeNs, stat.mtimeNs);
    }
  } finally {
    for (const fd of opened) sys.close(fd);
  }
}

export function createContainerLayerStore(parts: ContainerParts): ContainerLayerStore {
  const { database, layout, trash, sys } = parts;
  const options = overlayOptions();

  function describe(row: Row): ContainerLayer {
    const parent = optionalText(row, "parent");
    return layerOf(textColumn(row, "id"), parent === undefined ? undefined : parseChainId(parent));
  }

  function layerOf(id: string, parent: ChainId | undefined): ContainerLayer {
    // An overlay needs a lower directory; one without layers gets an empty one of its own.
    const links = chainLinks(database, parent);
    const lowerPaths = links.length > 0 ? links.map((link) => layout.linkPath(link)) : [layout.merged(id)];
    const diffPath = layout.diff(id);
    const workPath = layout.work(id);
    return {
      id,
      parent,
      mount: { lower: lowerPaths, upper: diffPath, work: workPath, options },
      diffPath,
      mergedPath: layout.merged(id),
      workPath,
      lowerPaths: links.map((link) => layout.linkPath(link)),
    };
  }

  function get(id: string): ContainerLayer | undefined {
    const row = database.get("SELECT id, parent FROM container_layers WHERE id = ?", id);
    return row === undefined ? undefined : describe(row);
  }

  function need(id: string): ContainerLayer {
    const layer = get(id);
    if (layer === undefined) throw new EngineError("not-found", `the writable layer of ${id} does not exist`);
    return layer;
  }

  return {
    create(id, parent, purpose = "container") {
      if (!idShape.test(id) || id === "trash" || id === "l")
        throw new EngineError("invalid-argument", `invalid layer id ${JSON.stringify(id)}`);
      if (get(id) !== undefined) throw new EngineError("conflict", `a writable layer ${id} exists already`);
      const lower = chainLinks(database, parent);
      const link = randomLink();
      try {
        layout.make(id);
      } catch (error) {
        throw storageError(`make the writable layer of ${id}`, error);
      }
      try {
        chmodSync(layout.diff(id), 0o755);
        layout.place(id, link, lower);
        layout.makeWork(id);
        layout.makeMerged(id);
        if (purpose === "container")
          addOwnFiles(
            sys,
            layout.diff(id),
            lower.map((name) => layout.linkPath(name)),
          );
        // The container's own row follows and brings this one to the disk; a layer alone is swept away.
        database.relaxed(() =>
          database.run("INSERT INTO container_layers (id, parent, link) VALUES (?, ?, ?)", id, parent ?? null, link),
        );
      } catch (error) {
        layout.discard(id, link);
        trash.empty();
        throw storageError(`make the writable layer of ${id}`, error);
      }
      return need(id);
    },
    get,
    preview: layerOf,
    view(parent) {
      const lower = chainLinks(database, parent).map((link) => layout.linkPath(link));
      if (lower.length > 1) return sys.openOverlay({ lower, options });
      // An overlay is of two directories or more. Where there is no layer, the folder of links has no file of an image either.
      return openRoot(sys, lower[0] ?? join(layout.directory, "l"));
    },
    async remove(id) {
      const row = database.get("SELECT link FROM container_layers WHERE id = ?", id);
      if (row === undefined) return;
      // The row first: a crash in between leaves a directory without a row, which recovery removes.
      database.relaxed(() => database.run("DELETE FROM container_layers WHERE id = ?", id));
      try {
        layout.discard(id, textColumn(row, "link"));
      } catch (error) {
        throw storageError(`remove the writable layer of ${id} (is it still mounted?)`, error);
      }
      trash.empty();
    },
    list: () => database.all("SELECT id FROM container_layers ORDER BY id").map((row) => textColumn(row, "id")),
    async changes(id) {
      const layer = need(id);
      return changesOf(sys, layer.diffPath, layer.lowerPaths);
    },
    async usage(id) {
      return diskUsage(sys, need(id).diffPath);
    },
    async writeDiff(id, sink) {
      const layer = need(id);
      return writeLayerDiff(sys, layer.diffPath, layer.lowerPaths, sink);
    },
  };
}
