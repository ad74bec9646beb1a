/**
 * What every container has in its writable layer where the image lacks it, mount points above all. Docker keeps them in an init layer
 * between image and container, so nobody there sees them as changes; here they are told by place and emptiness.
 */
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Stat } from "@fathom/sys";

const fileStubs = new Set([".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"]);
const directoryStubs = new Set([
  "dev",
  "dev/mqueue",
  "dev/pts",
  "dev/shm",
  "etc",
  "proc",
  "sys",
  "sys/fs",
  "sys/fs/cgroup",
]);
const linkStubs = new Set(["etc/mtab"]);

/** Directories at the root in which stubs are made. */
export const stubParents: ReadonlySet<string> = new Set(["dev", "etc", "sys"]);

/** All of them, what is in a directory before the directory. */
export const stubPaths: readonly string[] = [...fileStubs, ...directoryStubs, ...linkStubs].sort().toReversed();

/** True for an added entry that is nothing but a place to mount on. A directory counts as long as no child says otherwise. */
export function isMountStub(path: string, stat: Stat): boolean {
  switch (stat.mode & S_IFMT) {
    case S_IFREG:
      return stat.size === 0n && fileStubs.has(path);
    case S_IFDIR:
      return directoryStubs.has(path);
    case S_IFLNK:
      return linkStubs.has(path);
    default:
      return false;
  }
}
