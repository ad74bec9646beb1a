/**
 * Where the first content of a volume is put together: beside its data, and moved there when it is whole. Whoever looks at the volume sees
 * nothing or all of it, also after a crash.
 *
 *   volumes/<name>/.filling   what is being copied; worth nothing
 *   volumes/<name>/.filled    whole; its entries are being moved into _data
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
/** As much work as parsing so many. */
const bytesOfMove = 4096;

/** A new, empty directory for the copy, opened. `.filling` must not be there. */
export function beginFilling(sys: Sys, volumeFd: number): number {
  sys.mkdirat(volumeFd, fillingName, 0o700);
  return sys.openat2(volumeFd, fillingName, { flags: directoryFlags });
}

/**
 * From now on the content is the volume's, whatever happens; then it is moved, in turns, since an image may have any number of files there.
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
    // One reading of a directory that changes meanwhile may leave entries out.
    for (let moved = 1; moved > 0;) {
      moved = 0;
      for (const part of sys.readDirectoryParts(filled))
        for (const { name } of part) {
          try {
            sys.renameat2(filled, name, dataFd, name, RENAME_NOREPLACE);
            moved++;
          } catch (error) {
            // Somebody wrote a file of that name meanwhile: it is the newer one.
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
    // What could not be moved is waste now.
    sys.renameat2(volumeFd, filledName, volumeFd, fillingName, RENAME_NOREPLACE);
  }
}

/** After a crash. Gives the path of what is to be removed, if there is something. */
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
