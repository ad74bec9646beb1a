/** The entries of a tar archive, which may be hostile, become entries of a directory. */
import { TarReader, type TarEntry, type TarKind, type TarXattr } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, type TreeWriting, type WriteEntry } from "@fathom/sys";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A hard link has the type of the file that it names; the writer does not look at it. */
const types: Readonly<Record<Exclude<TarKind, "socket">, number>> = {
  file: S_IFREG,
  hardlink: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  fifo: S_IFIFO,
  "character-device": S_IFCHR,
  "block-device": S_IFBLK,
};

/** So many times of directories are queued before they are sent: an archive may have millions. */
const timesPerTurn = 1024;

export class TarTreeWriter {
  readonly #writing: TreeWriting;
  readonly #owner: Owner | undefined;
  readonly #reader: TarReader;
  /** By path. They get their times when everything in them is written. */
  readonly #directories = new Map<string, WriteEntry>();
  #current: TarEntry | undefined;

  /** @param owner Of everything; undefined: as the archive says. */
  constructor(writing: TreeWriting, owner: Owner | undefined) {
    this.#writing = writing;
    this.#owner = owner;
    this.#reader = new TarReader({
      entry: (entry) => this.#entry(entry),
      data: (chunk, offset) => {
        if (this.#current !== undefined) this.#writing.data(chunk, offset);
      },
      end: () => this.#end(),
    });
  }

  /** Queues entries; the caller sends them. @throws invalid-argument for a broken archive and for paths that lead out */
  write(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }

  /** Sends everything that is left. @throws invalid-argument when the archive is cut off */
  async finish(): Promise<void> {
    this.#reader.finish();
    let queued = 0;
    for (const entry of this.#directories.values()) {
      this.#writing.times(entry);
      if (++queued % timesPerTurn === 0) await this.#writing.send();
    }
    await this.#writing.finish();
  }

  #entry(entry: TarEntry): void {
    const path = relativePath(entry, entry.path);
    // The destination itself stays as it is.
    if (path === "") return;
    if (entry.kind === "socket") throw refused(entry, "it is a socket");
    const written: WriteEntry = {
      path: Buffer.from(path, "latin1"),
      mode: types[entry.kind] | entry.mode,
      ...(this.#owner ?? { uid: entry.uid, gid: entry.gid }),
      mtimeNs: entry.mtimeNs,
      size: entry.size,
      target: Buffer.from(entry.kind === "hardlink" ? relativePath(entry, entry.linkPath) : entry.linkPath, "latin1"),
      hardLink: entry.kind === "hardlink",
      rdevMajor: entry.deviceMajor,
      rdevMinor: entry.deviceMinor,
    };
    this.#writing.begin(written);
    this.#current = entry;
    if (entry.kind === "directory") this.#directories.set(path, written);
    if (entry.kind !== "file") this.#end();
  }

  #end(): void {
    if (this.#current === undefined) return;
    const { kind, xattrs } = this.#current;
    this.#current = undefined;
    this.#writing.end(kind === "hardlink" || kind === "symlink" ? [] : xattrs.filter(belongsToFile));
  }
}

/** Without "/" at its beginning, "." and "..". @throws invalid-argument when it leads out of the destination */
function relativePath(entry: TarEntry, path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw refused(entry, "its path leads out of the destination");
  }
  return parts.join("/");
}

function refused(entry: TarEntry, why: string): EngineError {
  const name = Buffer.from(entry.path, "latin1").toString("utf8");
  return new EngineError("invalid-argument", `invalid entry name ${JSON.stringify(name)}: ${why}`);
}

/** File capabilities and the user's own attributes. Labels of the host stay on the host. */
export function belongsToFile({ name }: TarXattr): boolean {
  return name === "security.capability" || name.startsWith("user.");
}
