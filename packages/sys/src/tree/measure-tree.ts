/** Whether a tree is small; the check stops as soon as it knows. */
import {
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  DT_DIR,
  DT_UNKNOWN,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RESOLVE_NO_XDEV,
  S_IFDIR,
  S_IFMT,
} from "../constants.ts";
import type { Stat, Sys } from "../contract.ts";

export interface TreeLimits {
  readonly entries: number;
  readonly bytes: bigint;
  /** Largest depth of directories. */
  readonly depth: number;
}

export interface TreeMeasure {
  readonly entries: number;
  readonly bytes: bigint;
}

/**
 * The entries and bytes of the directory `top`, within `limits`; undefined when it has more. Symlinks are not followed.
 * @param weigh The bytes that an entry other than a directory counts.
 * @throws SysError EXDEV when another file system is mounted in the tree: its server is not asked
 */
export function measureTree(
  sys: Pick<Sys, "openat2" | "fstatat" | "close" | "readDirectory">,
  top: number,
  limits: TreeLimits,
  weigh: (stat: Stat) => bigint,
): TreeMeasure | undefined {
  let entries = 0;
  let bytes = 0n;
  const fits = (directory: number, depth: number): boolean => {
    const found = sys.readDirectory(directory, limits.entries - entries + 1);
    entries += found.length;
    if (entries > limits.entries) return false;
    for (const { name, type } of found) {
      if (type !== DT_DIR) {
        const stat = sys.fstatat(directory, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC);
        // Some file systems do not give the type with the name.
        if (type !== DT_UNKNOWN || (stat.mode & S_IFMT) !== S_IFDIR) {
          bytes += weigh(stat);
          if (bytes > limits.bytes) return false;
          continue;
        }
      }
      if (depth === 0) return false;
      const inner = sys.openat2(directory, name, {
        flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        resolve: RESOLVE_NO_XDEV,
      });
      try {
        if (!fits(inner, depth - 1)) return false;
      } finally {
        sys.close(inner);
      }
    }
    return true;
  };
  return fits(top, limits.depth) ? { entries, bytes } : undefined;
}
