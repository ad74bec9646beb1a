/** An entry of a directory that a container writes to. A descriptor holds the entry, so its type cannot change after it was opened. */
import { isErrno } from "@fathom/base";
import { AT_EMPTY_PATH, O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY } from "../constants.ts";
import type { Stat, Sys } from "../contract.ts";

export interface OpenEntry {
  /** O_PATH opens the entry itself, also a symlink. It starts no device and does not wait for the writer of a FIFO. */
  readonly fd: number;
  readonly stat: Stat;
}

/** undefined when it was removed */
export function openEntry(
  sys: Pick<Sys, "openat2" | "fstatat" | "close">,
  dirFd: number,
  name: Uint8Array | string,
): OpenEntry | undefined {
  let fd: number;
  try {
    fd = sys.openat2(dirFd, name, { flags: O_PATH | O_NOFOLLOW | O_CLOEXEC });
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
  try {
    return { fd, stat: sys.fstatat(fd, "", AT_EMPTY_PATH) };
  } catch (error) {
    sys.close(fd);
    throw error;
  }
}

/** Opens for reading the file of an O_PATH descriptor, which must be a regular file; it cannot have become another one. */
export function openForReading(sys: Pick<Sys, "open">, entryFd: number): number {
  return sys.open(`/proc/self/fd/${entryFd}`, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

/** The entry, or a directory on the way to it, was removed or replaced. */
export function isGone(error: unknown): boolean {
  return isErrno(error, "ENOENT", "ENOTDIR", "ELOOP");
}
