/** Writable layers of containers. */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { join } from "node:path";
import { EngineError, type Logger } from "@fathom/base";
import { parseChainId } from "@fathom/spec";
import type { Sys } from "@fathom/sys";
import { changesOf } from "./changes.ts";
import type { ContainerLayer, ContainerLayerStore, Database } from "./contract.ts";
import { diskUsage } from "./disk-usage.ts";
import { storageError } from "./errors.ts";
import { chainLinks } from "./layers.ts";
import { randomLink, type OverlayLayout } from "./layout.ts";
import { optionalText, textColumn, type Row } from "./rows.ts";
import type { Trash } from "./trash.ts";
import { writeLayerDiff } from "./write-diff.ts";

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

/** Makes what the image lacks of them. None is a change (mount-stubs.ts). */
function addOwnFiles(diffPath: string, lowerPaths: readonly string[]): void {
  const shown = (path: string): Stats | undefined => {
    for (const lower of lowerPaths) {
      const stat = lstatSync(join(lower, path), { throwIfNoEntry: false });
      // A device 0:0 is a whiteout.
      if (stat !== undefined) return stat.isCharacterDevice() && stat.rdev === 0 ? undefined : stat;
    }
    return undefined;
  };
  const parents = new Map<string, Stats | undefined>();
  for (const [path, content] of ownFiles) {
    const parent = path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined;
    if (parent !== undefined) {
      if (!parents.has(parent)) parents.set(parent, shown(parent));
      // A link may lead anywhere.
      if (parents.get(parent)?.isDirectory() === false) continue;
    }
    if (shown(path) !== undefined) continue;
    const target = join(diffPath, path);
    if (parent !== undefined) mkdirSync(join(diffPath, parent), { recursive: true, mode: 0o755 });
    if (content === "directory") mkdirSync(target, { mode: 0o755 });
    else if (content !== "") symlinkSync(content, target);
    else writeFileSync(target, "", { mode: 0o755 });
  }
  // Merged with the image's, the upper one's attributes are those that are seen.
  for (const [parent, below] of parents) {
    const made = join(diffPath, parent);
    if (below === undefined || !existsSync(made)) continue;
    chownSync(made, below.uid, below.gid);
    chmodSync(made, below.mode & 0o7777);
    utimesSync(made, below.atime, below.mtime);
  }
}

export function createContainerLayerStore(parts: ContainerParts): ContainerLayerStore {
  const { database, layout, trash, sys } = parts;
  const options = overlayOptions();

  function describe(row: Row): ContainerLayer {
    const id = textColumn(row, "id");
    const parentText = optionalText(row, "parent");
    const parent = parentText === undefined ? undefined : parseChainId(parentText);
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
