/** A working directory that cannot be made, because the image has something else at its path. Docker finds this when it makes the container. */
import { EngineError } from "@fathom/base";
import {
  AT_EMPTY_PATH,
  AT_STATX_DONT_SYNC,
  isSysError,
  O_CLOEXEC,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFDIR,
  S_IFMT,
  type Sys,
} from "@fathom/sys";

/**
 * @param rootFd Files of the image.
 * @throws invalid-argument in Docker's words
 */
export function checkWorkingDirectory(
  sys: Pick<Sys, "openat2" | "fstatat" | "close">,
  rootFd: number,
  path: string,
): void {
  if (!isFreeOrDirectory(sys, rootFd, path))
    throw new EngineError("invalid-argument", `Cannot mkdir: ${path} is not a directory`);
}

function isFreeOrDirectory(sys: Pick<Sys, "openat2" | "fstatat" | "close">, rootFd: number, path: string): boolean {
  let fd: number;
  try {
    fd = sys.openat2(rootFd, path, { flags: O_PATH | O_CLOEXEC, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
  } catch (error) {
    // Other errors (a loop of links, a name that is too long) come with the start, which makes the directory.
    return !isSysError(error, "ENOTDIR");
  }
  try {
    return (sys.fstatat(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC).mode & S_IFMT) === S_IFDIR;
  } finally {
    sys.close(fd);
  }
}
