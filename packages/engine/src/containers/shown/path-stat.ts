/** The stat of a container's file in Docker's form. */
import { formatRfc3339Nano } from "@fathom/base";
import type { FileStat } from "@fathom/containers";
import type { PathStat } from "@fathom/spec";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK } from "@fathom/sys";

export function pathStat({ name, size, mode, modifiedNs, linkTarget }: FileStat): PathStat {
  return { name, size, mode: goFileMode(mode), mtime: formatRfc3339Nano(modifiedNs), linkTarget };
}

/** Converts st_mode to Go's os.FileMode. */
function goFileMode(mode: number): number {
  let result = mode & 0o777;
  switch (mode & S_IFMT) {
    case S_IFDIR:
      result += 2 ** 31;
      break;
    case S_IFLNK:
      result += 2 ** 27;
      break;
    case S_IFBLK:
      result += 2 ** 26;
      break;
    case S_IFIFO:
      result += 2 ** 25;
      break;
    case S_IFSOCK:
      result += 2 ** 24;
      break;
    case S_IFCHR:
      result += 2 ** 26 + 2 ** 21;
      break;
  }
  if ((mode & 0o4000) !== 0) result += 2 ** 23;
  if ((mode & 0o2000) !== 0) result += 2 ** 22;
  if ((mode & 0o1000) !== 0) result += 2 ** 20;
  return result;
}
