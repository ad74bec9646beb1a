/** Makes entries of an archive from files of a tree, using the data of stat(2). The same code serves a container's files (cp, export) and a layer. */
import type { TarKind, TarXattr } from "./entry.ts";
import type { TarEntryInput, TarWriter } from "./writer.ts";

/** Of st_mode. */
const typeBits = 0o170000;
/** A socket means nothing elsewhere, so it has no kind. */
const kinds: ReadonlyMap<number, TarKind> = new Map([
  [0o010000, "fifo"],
  [0o020000, "character-device"],
  [0o040000, "directory"],
  [0o060000, "block-device"],
  [0o100000, "file"],
  [0o120000, "symlink"],
]);
const slash = 0x2f;
/** How many zeros are written at once. */
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

/** The entry of a file; a directory's name ends with "/". undefined for a file that an archive cannot contain. */
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
  /** For files with several names, the first name. */
  readonly #names = new Map<string, string | Uint8Array>();

  constructor(tar: TarWriter) {
    this.#tar = tar;
  }

  /**
   * Writes everything except directories. True when a file's content must follow: with `data` of the writer, and then `fill`.
   * @param identity Distinguishes files: later names of one become hard links.
   * @param target Returns the target of a symlink; called only for symlinks.
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

  /** When a file has become shorter after its header was written, the rest is zeros: this writes a part, and returns whether more are missing. */
  fill(): boolean {
    const { remaining } = this.#tar;
    if (remaining > 0) this.#tar.data(zeros.subarray(0, Math.min(zeros.length, remaining)));
    return this.#tar.remaining > 0;
  }
}
