/** Files of a tree as entries of an archive: by what stat(2) says of them. The same for a container's files (cp, export) and for a layer. */
import type { TarKind, TarXattr } from "./entry.ts";
import type { TarEntryInput, TarWriter } from "./writer.ts";

/** Of st_mode. */
const typeBits = 0o170000;
/** A socket means nothing elsewhere: it has no kind. */
const kinds: ReadonlyMap<number, TarKind> = new Map([
  [0o010000, "fifo"],
  [0o020000, "character-device"],
  [0o040000, "directory"],
  [0o060000, "block-device"],
  [0o100000, "file"],
  [0o120000, "symlink"],
]);
const slash = 0x2f;
/** Zeros that are written at once. */
const zeros = new Uint8Array(64 * 1024);

export interface TreeFile {
  /** Type and permission bits, as st_mode. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

/** The entry that a file has; that of a directory ends with "/". undefined for what has no place in an archive. */
export function treeEntry(
  path: Uint8Array,
  { mode, uid, gid, mtimeNs, rdevMajor, rdevMinor }: TreeFile,
  xattrs: readonly TarXattr[],
): TarEntryInput | undefined {
  const kind = kinds.get(mode & typeBits);
  if (kind === undefined) return undefined;
  return {
    kind,
    path: kind === "directory" ? withSlash(path) : path,
    mode: mode & 0o7777,
    uid,
    gid,
    mtimeNs,
    deviceMajor: rdevMajor,
    deviceMinor: rdevMinor,
    xattrs,
  };
}

export function withSlash(path: Uint8Array): Uint8Array {
  return path.at(-1) === slash ? path : Buffer.concat([path, Buffer.of(slash)]);
}

export class TreeWriter {
  readonly #tar: TarWriter;
  /** Of files with several names the first. */
  readonly #names = new Map<string, string | Uint8Array>();

  constructor(tar: TarWriter) {
    this.#tar = tar;
  }

  /**
   * Writes anything but a directory. True for a file whose content is to follow: with `data` of the writer, and then `fill`.
   * @param identity Tells one file from another: later names of one become hard links.
   * @param target Gives where a symlink leads; called for symlinks alone.
   */
  write(entry: TarEntryInput, { nlink, size }: TreeFile, identity: string, target: () => Uint8Array): boolean {
    if (nlink > 1) {
      const first = this.#names.get(identity);
      if (first !== undefined) {
        this.#tar.entry({ ...entry, kind: "hardlink", linkPath: first, xattrs: [] });
        return false;
      }
      this.#names.set(identity, entry.path);
    }
    if (entry.kind === "symlink") this.#tar.entry({ ...entry, linkPath: target() });
    else if (entry.kind === "file") this.#tar.entry({ ...entry, size: Number(size) });
    else this.#tar.entry(entry);
    return entry.kind === "file";
  }

  /** Of a file that has shrunk since its header went out the rest is zeros: writes a part, and says whether more are missing. */
  fill(): boolean {
    const { remaining } = this.#tar;
    if (remaining > 0) this.#tar.data(zeros.subarray(0, Math.min(zeros.length, remaining)));
    return this.#tar.remaining > 0;
  }
}
