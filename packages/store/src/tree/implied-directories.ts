/**
 * Directories for which a layer's archive has files but no entry. The layer does not define such a directory: it keeps owner, mode, xattrs and
 * times of the directory in the layers below. Layers are unpacked at the same time, so this is done when a layer gets its place in the chain.
 */
import {
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  isGone,
  isSysError,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  type Sys,
} from "@fathom/sys";
import { readLayerXattrs } from "./layer-xattr.ts";
import { isOpaque, openRoot } from "./tree.ts";

/**
 * Gives `paths` the attributes of the topmost layer below in which they are visible. New directories do not change.
 * @param diffPath The layer's own directory, filled.
 * @param lowerPaths Directories of the layers below, the nearest first; they already have these attributes.
 * @param paths Byte strings, from the layer's root, without a leading slash.
 */
export function inheritAttributes(
  sys: Sys,
  diffPath: string,
  lowerPaths: readonly string[],
  paths: readonly string[],
): void {
  for (const _ of inheritOneByOne(sys, diffPath, lowerPaths, paths));
}

/** The same in steps, one path each. A caller that stops early must close the generator. */
export function* inheritOneByOne(
  sys: Sys,
  diffPath: string,
  lowerPaths: readonly string[],
  paths: readonly string[],
): Generator<void> {
  if (paths.length === 0 || lowerPaths.length === 0) return;
  const roots: number[] = [];
  try {
    const own = openRoot(sys, diffPath);
    roots.push(own);
    for (const lower of lowerPaths) roots.push(openRoot(sys, lower));
    const lowers = roots.slice(1);
    const visible = createVisibility(sys, own, lowers);
    for (const path of paths) {
      const [nearest] = visible(path);
      if (nearest !== undefined) copyAttributes(sys, nearest, own, path);
      yield;
    }
  } finally {
    for (const fd of roots) sys.close(fd);
  }
}

/** Undefined when there is no directory, or when a part of the path is no directory. */
function openBelow(sys: Sys, root: number, path: string): number | undefined {
  try {
    return sys.openat2(root, Buffer.from(path, "latin1"), {
      flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    });
  } catch (error) {
    if (isGone(error) || isSysError(error, "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

/** Roots of those lower layers whose directory at a path is part of the merged one, the nearest first. */
function createVisibility(sys: Sys, own: number, lowers: readonly number[]): (path: string) => readonly number[] {
  const known = new Map<string, readonly number[]>([["", lowers]]);
  const opaqueParents = new Map<string, boolean>();
  /** This layer hides the directory's content in the layers below. */
  const hides = (path: string): boolean => {
    let hidden = opaqueParents.get(path);
    if (hidden === undefined) {
      const fd = path === "" ? undefined : openBelow(sys, own, path);
      try {
        hidden = path === "" ? isOpaque(sys, own, ".") : fd === undefined || isOpaque(sys, fd, ".");
      } finally {
        if (fd !== undefined) sys.close(fd);
      }
      opaqueParents.set(path, hidden);
    }
    return hidden;
  };
  const visible = (path: string): readonly number[] => {
    const before = known.get(path);
    if (before !== undefined) return before;
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    const found: number[] = [];
    for (const root of hides(parent) ? [] : visible(parent)) {
      const fd = openBelow(sys, root, path);
      if (fd === undefined) {
        // A name that exists but is no directory, for example a whiteout, hides everything below it.
        if (exists(sys, root, path)) break;
        continue;
      }
      try {
        found.push(root);
        if (isOpaque(sys, fd, ".")) break;
      } finally {
        sys.close(fd);
      }
    }
    known.set(path, found);
    return found;
  };
  return visible;
}

function exists(sys: Sys, root: number, path: string): boolean {
  const slash = path.lastIndexOf("/");
  const parent = slash < 0 ? undefined : openBelow(sys, root, path.slice(0, slash));
  if (slash >= 0 && parent === undefined) return false;
  try {
    sys.fstatat(parent ?? root, Buffer.from(path.slice(slash + 1), "latin1"), AT_SYMLINK_NOFOLLOW);
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  } finally {
    if (parent !== undefined) sys.close(parent);
  }
}

/** Owner before mode and xattrs, because changing the owner removes setgid bits. */
function copyAttributes(sys: Sys, fromRoot: number, toRoot: number, path: string): void {
  const from = openBelow(sys, fromRoot, path);
  const to = openBelow(sys, toRoot, path);
  try {
    // A later entry of the layer replaced it.
    if (from === undefined || to === undefined) return;
    const stat = sys.fstat(from);
    sys.fchownat(to, ".", stat.uid, stat.gid);
    sys.fchmodat(to, ".", stat.mode & 0o7777);
    for (const { name, value } of readLayerXattrs(sys, from, ".")) sys.setxattrat(to, ".", name, value);
    sys.utimensat(to, ".", stat.atimeNs, stat.mtimeNs);
  } finally {
    if (from !== undefined) sys.close(from);
    if (to !== undefined) sys.close(to);
  }
}
