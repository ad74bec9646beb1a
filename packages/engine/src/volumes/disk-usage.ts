/** Bytes that a tree of a container's takes, counted through descriptors; hard links count once, other mounts not at all. */
import {
  AT_SYMLINK_NOFOLLOW,
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  S_IFDIR,
  S_IFMT,
  type Stat,
  type Sys,
} from "@fathom/sys";

const maxDepth = 1000;
const entriesPerTurn = 2000;

export async function treeSize(sys: Sys, path: string): Promise<number> {
  const root = sys.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const seen = new Set<string>();
  const { dev } = sys.fstat(root);
  let entries = 0;
  async function count(fd: number, depth: number): Promise<number> {
    let total = 0;
    // A directory as large as somebody likes: it is read in parts, in turns with everything else.
    for (const part of sys.readDirectoryParts(fd))
      for (const { name } of part) {
        if (++entries % entriesPerTurn === 0) await Bun.sleep(0);
        let stat: Stat;
        try {
          stat = sys.fstatat(fd, name, AT_SYMLINK_NOFOLLOW);
        } catch (error) {
          if (isSysError(error, "ENOENT")) continue;
          throw error;
        }
        if (stat.dev !== dev) continue;
        if ((stat.mode & S_IFMT) === S_IFDIR) {
          if (depth < maxDepth) total += await descend(fd, name, depth);
          continue;
        }
        if (stat.nlink > 1) {
          const key = String(stat.ino);
          if (seen.has(key)) continue;
          seen.add(key);
        }
        total += Number(stat.size);
      }
    return total;
  }
  async function descend(fd: number, name: Uint8Array, depth: number): Promise<number> {
    let inner: number;
    try {
      inner = sys.openat2(fd, name, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC });
    } catch (error) {
      if (isSysError(error, "ENOENT", "ENOTDIR", "ELOOP")) return 0;
      throw error;
    }
    try {
      return await count(inner, depth + 1);
    } finally {
      sys.close(inner);
    }
  }
  try {
    return await count(root, 0);
  } finally {
    sys.close(root);
  }
}
