/**
 * Where the first content of a volume is collected: beside its data, and moved there when it is complete. A reader of the volume sees nothing
 * or all of it, also after a crash.
 *
 *   volumes/<name>/.filling       the unfinished copy; it can be removed
 *   volumes/<name>/.filled        complete; its entries are being moved into _data
 *   volumes/<name>/.filled-below  a symlink that nobody follows: its text is the path below _data, when not _data itself is filled
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Turns } from "@fathom/base";
import {
  AT_REMOVEDIR,
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RENAME_NOREPLACE,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_XDEV,
  type Sys,
} from "@fathom/sys";
import { copyDirectoryAttributes } from "./copy-tree.ts";

export const fillingName = ".filling";
const filledName = ".filled";
const belowName = ".filled-below";
const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** The same work as parsing this many bytes. */
const bytesOfMove = 4096;

/** A new, empty directory for the copy, opened. `.filling` and `.filled` must not exist. */
export function beginFilling(sys: Sys, volumeFd: number): number {
  forgetBelow(sys, volumeFd);
  sys.mkdirat(volumeFd, fillingName, 0o700);
  return sys.openat2(volumeFd, fillingName, { flags: directoryFlags });
}

/** A directory of the volume, opened; undefined when it does not exist, is no directory, or is not inside the volume's own file system. */
export function openBelow(sys: Sys, dataFd: number, subpath: string): number | undefined {
  try {
    return sys.openat2(dataFd, subpath === "" ? "." : subpath, {
      flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
    });
  } catch (error) {
    if (isSysError(error, "ENOENT", "ENOTDIR", "ELOOP", "EXDEV", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

/**
 * From now on the content belongs to the volume, whatever happens. Then it is moved in small turns, because an image may have any number of
 * files there.
 * @param subpath The directory below `_data` that is filled; "" for `_data` itself.
 * @throws SysError; the next first use, or the next start, moves the rest
 */
export async function completeFilling(sys: Sys, volumeFd: number, dataFd: number, subpath: string): Promise<void> {
  if (subpath !== "") sys.symlinkat(subpath, volumeFd, belowName);
  sys.renameat2(volumeFd, fillingName, volumeFd, filledName, RENAME_NOREPLACE);
  await continueFilling(sys, volumeFd, dataFd);
}

/** A complete content was not moved to its end. */
export function isMoving(sys: Sys, volumeFd: number): boolean {
  const filled = openFilled(sys, volumeFd);
  if (filled !== undefined) sys.close(filled);
  return filled !== undefined;
}

/** Moves the rest of a complete content whose move was interrupted. `.filling` must not exist. @throws as `completeFilling` */
export async function continueFilling(sys: Sys, volumeFd: number, dataFd: number): Promise<void> {
  const turns = new Turns();
  for (const _ of moveFilled(sys, volumeFd, dataFd)) await turns.after(bytesOfMove);
}

/** Yields after each entry. */
function* moveFilled(sys: Sys, volumeFd: number, dataFd: number): Generator<void, void> {
  const filled = openFilled(sys, volumeFd);
  if (filled === undefined) return;
  try {
    const target = openBelow(sys, dataFd, readBelow(sys, volumeFd));
    // Somebody removed the directory meanwhile: the content has no place any more.
    if (target !== undefined)
      try {
        yield* moveEntries(sys, filled, target);
      } finally {
        sys.close(target);
      }
  } finally {
    sys.close(filled);
  }
  try {
    sys.unlinkat(volumeFd, filledName, AT_REMOVEDIR);
  } catch (error) {
    if (!isSysError(error, "ENOTEMPTY", "EEXIST")) throw error;
    // What could not be moved can be removed now.
    sys.renameat2(volumeFd, filledName, volumeFd, fillingName, RENAME_NOREPLACE);
  }
  forgetBelow(sys, volumeFd);
}

function* moveEntries(sys: Sys, filled: number, target: number): Generator<void, void> {
  // Reading a directory that changes meanwhile may miss entries.
  for (let moved = 1; moved > 0;) {
    moved = 0;
    for (const part of sys.readDirectoryParts(filled))
      for (const { name } of part) {
        try {
          sys.renameat2(filled, name, target, name, RENAME_NOREPLACE);
          moved++;
        } catch (error) {
          // Somebody wrote a file with that name meanwhile: that file is newer.
          if (!isSysError(error, "EEXIST")) throw error;
        }
        yield;
      }
  }
  copyDirectoryAttributes(sys, filled, target);
}

function openFilled(sys: Sys, volumeFd: number): number | undefined {
  try {
    return sys.openat2(volumeFd, filledName, { flags: directoryFlags });
  } catch (error) {
    if (isSysError(error, "ENOENT")) return undefined;
    throw error;
  }
}

function readBelow(sys: Sys, volumeFd: number): string {
  try {
    return Buffer.from(sys.readlinkat(volumeFd, belowName)).toString();
  } catch (error) {
    if (isSysError(error, "ENOENT")) return "";
    throw error;
  }
}

function forgetBelow(sys: Sys, volumeFd: number): void {
  try {
    sys.unlinkat(volumeFd, belowName, 0);
  } catch (error) {
    if (!isSysError(error, "ENOENT")) throw error;
  }
}

/** After a crash. @param discard Called with the path of what must be removed; it moves it away at once. */
export function finishFilling(sys: Sys, volumePath: string, discard: (path: string) => void): void {
  const waste = join(volumePath, fillingName);
  if (existsSync(waste)) discard(waste);
  if (!existsSync(join(volumePath, filledName))) return;
  const volume = sys.open(volumePath, directoryFlags);
  try {
    const data = sys.openat2(volume, "_data", { flags: directoryFlags });
    try {
      for (const _ of moveFilled(sys, volume, data)) continue;
    } finally {
      sys.close(data);
    }
  } finally {
    sys.close(volume);
  }
  if (existsSync(waste)) discard(waste);
}
