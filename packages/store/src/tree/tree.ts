/** Walking a tree that a container wrote: by descriptors, never following a link, and giving the thread back now and then. */
import { EngineError } from "@fathom/base";
import {
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  isGone,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  type Stat,
  type Sys,
} from "@fathom/sys";
import { sortedNames } from "./directory-names.ts";

/** Each level holds a descriptor. Paths end at 4096 bytes, so deeper trees can only be made on purpose. */
const maxDepth = 2048;
const entriesPerTurn = 2000;

export const opaqueXattr = "trusted.overlay.opaque";

export function isDirectory(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

/** overlayfs marks a removed name by a character device 0:0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

export function isOpaque(sys: Sys, dirFd: number, name: Uint8Array | string): boolean {
  return sys.getxattrat(dirFd, name, opaqueXattr)?.[0] === 0x79;
}

export function openRoot(sys: Sys, path: string): number {
  return sys.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/** A directory in `dirFd`; undefined when it does not exist (any more) or is no directory. */
export function openChild(sys: Sys, dirFd: number, name: Uint8Array | string): number | undefined {
  try {
    return sys.openat2(dirFd, name, {
      flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    });
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

export function statChild(sys: Sys, dirFd: number, name: Uint8Array | string): Stat | undefined {
  try {
    return sys.fstatat(dirFd, name, AT_SYMLINK_NOFOLLOW);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** The entry with this name in the layers below, and where it is; undefined when there is none, or it was removed there. */
export function lookup(
  sys: Sys,
  lower: readonly number[],
  name: Uint8Array | string,
): { readonly stat: Stat; readonly dirFd: number } | undefined {
  for (const dirFd of lower) {
    const stat = statChild(sys, dirFd, name);
    if (stat === undefined) continue;
    return isWhiteout(stat) ? undefined : { stat, dirFd };
  }
  return undefined;
}

/** Descriptors of the directories that a name merges below: up to another kind of file, a whiteout or an opaque directory. */
export function openMerged(sys: Sys, lower: readonly number[], name: Uint8Array | string): number[] {
  const merged: number[] = [];
  for (const dirFd of lower) {
    const stat = statChild(sys, dirFd, name);
    if (stat === undefined) continue;
    if (!isDirectory(stat)) break;
    const fd = openChild(sys, dirFd, name);
    if (fd === undefined) break;
    merged.push(fd);
    if (isOpaque(sys, dirFd, name)) break;
  }
  return merged;
}

export interface TreeEntry {
  /** The directory that contains it. */
  readonly dirFd: number;
  readonly name: Uint8Array;
  /** From the root, with "/" between names, bytes as a string of one character each; without a leading slash. */
  readonly path: string;
  readonly stat: Stat;
}

export interface TreeVisitor<D> {
  /** Called for each entry, a directory before its children. Its result for a directory is the `context` of its children. */
  enter(entry: TreeEntry, context: D, childFd: number | undefined): D | Promise<D>;
  /** Called after the children of a directory. */
  leave?(context: D): void;
}

/** Visits all entries below the directory at `rootFd`, names in byte order. Entries that disappear meanwhile are left out. */
export async function walkTree<D>(sys: Sys, rootFd: number, context: D, visitor: TreeVisitor<D>): Promise<void> {
  let budget = entriesPerTurn;

  async function walk(dirFd: number, prefix: string, context: D, depth: number): Promise<void> {
    if (depth > maxDepth)
      throw new EngineError("resource-exhausted", `a directory tree is deeper than ${maxDepth} levels`);
    for (const name of await sortedNames(sys, dirFd)) {
      if (--budget <= 0) {
        budget = entriesPerTurn;
        await new Promise((resolve) => setImmediate(resolve));
      }
      const stat = statChild(sys, dirFd, name);
      if (stat === undefined) continue;
      const path = prefix + Buffer.from(name).toString("latin1");
      if (!isDirectory(stat)) {
        await visitor.enter({ dirFd, name, path, stat }, context, undefined);
        continue;
      }
      const childFd = openChild(sys, dirFd, name);
      if (childFd === undefined) continue;
      try {
        const inner = await visitor.enter({ dirFd, name, path, stat }, context, childFd);
        try {
          await walk(childFd, `${path}/`, inner, depth + 1);
        } finally {
          visitor.leave?.(inner);
        }
      } finally {
        sys.close(childFd);
      }
    }
  }

  await walk(rootFd, "", context, 0);
}
