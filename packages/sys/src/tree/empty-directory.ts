/** Removes the content of a directory. For threads that may wait: the time grows with the tree. */
import { EngineError } from "@fathom/base";
import { AT_REMOVEDIR, DT_DIR, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RESOLVE_NO_XDEV } from "../constants.ts";
import type { Sys } from "../contract.ts";
import { isSysError } from "../errors.ts";

/** Each level holds a descriptor. */
const maxDepth = 1000;

/**
 * Follows no symlink and enters no other mount.
 * @throws SysError, EngineError resource-exhausted when directories are nested too deeply; the rest then stays
 */
export function emptyDirectory(sys: Pick<Sys, "openat2" | "close" | "readDirectory" | "unlinkat">, top: number): void {
  const empty = (directory: number, depth: number): void => {
    if (depth > maxDepth) throw new EngineError("resource-exhausted", `directories are nested deeper than ${maxDepth}`);
    for (const { name, type } of sys.readDirectory(directory)) {
      if (type !== DT_DIR && removed(directory, name)) continue;
      const inner = sys.openat2(directory, name, {
        flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        resolve: RESOLVE_NO_XDEV,
      });
      try {
        empty(inner, depth + 1);
      } finally {
        sys.close(inner);
      }
      sys.unlinkat(directory, name, AT_REMOVEDIR);
    }
  };
  /** False when it is a directory: some file systems do not give the type with the name. */
  const removed = (directory: number, name: Uint8Array): boolean => {
    try {
      sys.unlinkat(directory, name, 0);
      return true;
    } catch (error) {
      if (isSysError(error, "EISDIR")) return false;
      throw error;
    }
  };
  empty(top, 0);
}
