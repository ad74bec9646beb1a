/**
 * A writable layer becomes an image layer unchanged. First, entries that are no changes are removed, because the layer's tar would not have
 * them either (write-diff.ts): sockets, the files that every container has when the image lacks them, and xattrs that belong to no layer.
 * Directories keep their times.
 */
import { AT_REMOVEDIR, FileSizes, isSysError, S_IFMT, S_IFSOCK, type Stat, type Sys } from "@fathom/sys";
import { dropForeignXattrs } from "./layer-xattr.ts";
import { isMountStub, stubParents, stubPaths } from "./mount-stubs.ts";
import { isDirectory, isOpaque, lookup, openChild, openRoot, statChild, walkTree } from "./tree.ts";

/** @returns Bytes of its files; a file with several names counts once. */
export async function sealLayer(sys: Sys, diffPath: string, lowerPaths: readonly string[]): Promise<number> {
  const opened: number[] = [];
  try {
    const root = openRoot(sys, diffPath);
    opened.push(root);
    for (const path of lowerPaths) opened.push(openRoot(sys, path));
    for (const path of stubPaths) removeStub(sys, root, opened.slice(1), path);
    dropForeignXattrs(sys, root, "");
    const sizes = new FileSizes();
    await walkTree(sys, root, undefined, {
      enter({ dirFd, name, stat }) {
        if ((stat.mode & S_IFMT) === S_IFSOCK) return removeFrom(sys, dirFd, name, 0);
        dropForeignXattrs(sys, dirFd, name);
        if (isDirectory(stat)) return;
        sizes.add(stat.nlink, `${stat.dev}:${stat.ino}`, stat.size);
      },
    });
    return sizes.sum;
  } finally {
    for (const fd of opened) sys.close(fd);
  }
}

/** The same decision as `holdsNothing` of write-diff.ts; a directory with content stays. */
function removeStub(sys: Sys, root: number, lower: readonly number[], path: string): void {
  const names = path.split("/");
  const name = names.pop()!;
  const opened: number[] = [];
  try {
    let directory = root;
    // A container may have replaced them by links: no link is followed.
    for (const part of names) {
      const child = openChild(sys, directory, part);
      if (child === undefined) return;
      opened.push(child);
      directory = child;
    }
    const stat = statChild(sys, directory, name);
    if (stat === undefined || !isMountStub(path, stat)) return;
    if (!isDirectory(stat)) return removeFrom(sys, directory, name, 0);
    if (isOpaque(sys, directory, name) || (stubParents.has(path) && differsBelow(sys, lower, name, stat))) return;
    removeFrom(sys, directory, name, AT_REMOVEDIR);
  } finally {
    for (const fd of opened) sys.close(fd);
  }
}

function differsBelow(sys: Sys, lower: readonly number[], name: string, stat: Stat): boolean {
  const below = lookup(sys, lower, name)?.stat;
  if (below === undefined) return false;
  return below.mode !== stat.mode || below.uid !== stat.uid || below.gid !== stat.gid;
}

function removeFrom(sys: Sys, dirFd: number, name: Uint8Array | string, flags: number): void {
  const before = sys.fstat(dirFd);
  try {
    sys.unlinkat(dirFd, name, flags);
  } catch (error) {
    if (isSysError(error, "ENOTEMPTY", "EEXIST", "ENOENT")) return;
    throw error;
  }
  sys.utimensat(dirFd, ".", before.atimeNs, before.mtimeNs);
}
