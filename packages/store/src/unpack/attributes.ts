/** Owner, mode, xattrs and times of an archive's entries. */
import type { TarEntry } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { isSysError, type Sys } from "@fathom/sys";
import { storageError } from "../errors.ts";
import { isLayerXattr } from "../tree/layer-xattr.ts";
import { shown } from "./entry-path.ts";
import type { OpenDirectories } from "./open-directories.ts";

/** The times that the kernel can store as 64 bits of nanoseconds: the years 1677 to 2262. */
const lastTimeNs = 2n ** 63n - 1n;

/** A time that no file of ours can have becomes the epoch, as in Docker. */
function timeOf({ mtimeNs }: TarEntry): bigint {
  return mtimeNs > lastTimeNs || mtimeNs < -lastTimeNs ? 0n : mtimeNs;
}

/**
 * Owner before mode and xattrs, because changing the owner removes setuid bits and capabilities. A directory gets its time last of all
 * (`DirectoryTimes`).
 */
export function setAttributes(sys: Sys, at: number, name: string | Uint8Array, entry: TarEntry): void {
  sys.fchownat(at, name, entry.uid, entry.gid);
  if (entry.kind !== "symlink") sys.fchmodat(at, name, entry.mode);
  for (const xattr of entry.xattrs) {
    if (!isLayerXattr(xattr.name)) continue;
    try {
      sys.setxattrat(at, name, xattr.name, xattr.value);
    } catch (error) {
      // user.* on a device or symlink, ACLs on a file system without them.
      if (!isSysError(error, "ENOTSUP", "EOPNOTSUPP", "EPERM")) throw error;
    }
  }
  if (entry.kind !== "directory") sys.utimensat(at, name, timeOf(entry), timeOf(entry));
}

/** Times of directories, set when nothing is written into them any more. */
export class DirectoryTimes {
  /** By byte-string paths. */
  readonly #times = new Map<string, bigint>();

  add(path: string, entry: TarEntry): void {
    this.#times.set(path, timeOf(entry));
  }

  set(sys: Sys, directories: OpenDirectories): void {
    // Neighbours one after another, so that each directory is opened about once.
    for (const path of [...this.#times.keys()].sort()) {
      const time = this.#times.get(path)!;
      try {
        sys.utimensat(directories.enter(path, path === "" ? [] : path.split("/"), false), ".", time, time);
      } catch (error) {
        // A later entry replaced it, or a directory above it.
        if (!(error instanceof EngineError) && !isSysError(error, "ENOENT"))
          throw storageError(`unpacking ${shown(path)}`, error);
      }
    }
  }
}
