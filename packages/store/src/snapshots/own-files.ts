/** The files that every container has in its root, made in its own layer when the image lacks them. */
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, type Stat, type Sys } from "@fathom/sys";
import { isDirectory, lookup, openMerged, openRoot } from "../tree/tree.ts";

/** The files that every container has, as in Docker's init layer: the mark of a container, mount points, and the old list of mounts. */
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

/** A directory of the image in which own files are made: its properties, and its directories in the layers, the uppermost first. */
interface ImageDirectory {
  readonly stat: Stat | undefined;
  readonly merged: readonly number[];
}

/**
 * Makes those that the image lacks. None counts as a change (mount-stubs.ts). The image is examined through descriptors, one name at a time,
 * because it may have links and files where directories are expected. The container's own directory is new and empty.
 */
export function addOwnFiles(sys: Sys, diffPath: string, lowerPaths: readonly string[]): void {
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
    // Merged with the image's directory; the attributes of the upper one are visible.
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
