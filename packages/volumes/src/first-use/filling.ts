/**
 * Where the first content of a volume is collected: beside its data, and moved there when it is complete. A reader of the volume sees nothing
 * or all of it, also after a crash.
 *
 *   volumes/<name>/.filling   the unfinished copy; it can be removed
 *   volumes/<name>/.filled    complete; its entries are being moved into _data
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
  type Sys,
} from "@fathom/sys";
import { copyDirectoryAttributes } from "./copy-tree.ts";

export const fillingName = ".filling";
const filledName = ".filled";
const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** The same work as parsing this many bytes. */
const bytesOfMove = 4096;

/** A new, empty directory for the copy, opened. `.filling` must not exist. */
export function beginFilling(sys: Sys, volumeFd: number): number {
  sys.mkdirat(volumeFd, fillingName, 0o700);
  return sys.openat2(volumeFd, fillingName, { flags: directoryFlags });
}

/**
 * From now on the content belongs to the volume, whatever happens. Then it is moved in small turns, because an image may have any number of
 * files there.
 * @throws SysError; the next start moves the rest
 */
export async function completeFilling(sys: Sys, volumeFd: number, dataFd: number): Promise<void> {
  sys.renameat2(volumeFd, fillingName, volumeFd, filledName, RENAME_NOREPLACE);
  const turns = new Turns();
  for (const _ of moveFilled(sys, volumeFd, dataFd)) await turns.after(bytesOfMove);
}

/** Yields after each entry. */
function* moveFilled(sys: Sys, volumeFd: number, dataFd: number): Generator<void, void> {
  const filled = sys.openat2(volumeFd, filledName, { flags: directoryFlags });
  try {
    // Reading a directory that changes meanwhile may miss entries.
    for (let moved = 1; moved > 0;) {
      moved = 0;
      for (const part of sys.readDirectoryParts(filled))
        for (const { name } of part) {
          try {
            sys.renameat2(filled, name, dataFd, name, RENAME_NOREPLACE);
            moved++;
          } catch (error) {
            // Somebody wrote a file with that name meanwhile: that file is newer.
            if (!isSysError(error, "EEXIST")) throw error;
          }
          yield;
        }
    }
    copyDirectoryAttributes(sys, filled, dataFd);
  } finally {
    sys.close(filled);
  }
  try {
    sys.unlinkat(volumeFd, filledName, AT_REMOVEDIR);
  } catch (error) {
    if (!isSysError(error, "ENOTEMPTY")) throw error;
    // What could not be moved can be removed now.
    sys.renameat2(volumeFd, filledName, volumeFd, fillingName, RENAME_NOREPLACE);
  }
}

/** After a crash. Returns the path of what must be removed, if there is something. */
export function finishFilling(sys: Sys, volumePath: string): string | undefined {
  if (existsSync(join(volumePath, filledName))) {
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
  }
  const rest = join(volumePath, fillingName);
  return existsSync(rest) ? rest : undefined;
}
