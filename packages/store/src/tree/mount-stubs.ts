/**
 * Files that every container has in its writable layer when the image lacks them, mostly mount points. Docker keeps them in an init layer
 * between image and container, so users do not see them as changes. Here they are recognised by place and emptiness.
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

/** Directories of the root in which stubs are made. */
export const stubParents: ReadonlySet<string> = new Set(["dev", "etc", "sys"]);

/** All of them; a directory comes before its content. */
export const stubPaths: readonly string[] = [...fileStubs, ...directoryStubs, ...linkStubs].sort().toReversed();

/** True for an added entry that is only a mount point. A directory counts until one of its children says otherwise. */
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
