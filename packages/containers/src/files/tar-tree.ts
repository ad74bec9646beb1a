/**
 * What was read of a file or a tree of a container, as a tar stream. What changes while it is read can spoil its own content only.
 */
import { TarWriter, type TarEntryInput, type TarKind } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type ReadEntry,
  type TreeReading,
} from "@fathom/sys";

const maxDepth = 1000;
const readBytes = 256 * 1024;
/** Bytes put together before they are handed on. */
const batchBytes = 128 * 1024;

const kinds = new Map<number, TarKind>([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFCHR, "character-device"],
  [S_IFBLK, "block-device"],
  [S_IFIFO, "fifo"],
]);

/**
 * `top` is the first entry of the reading where it has been taken from it already. `name` is that entry's name in the archive; "" leaves it out
 * and names the others from there. Of another mount only the place is archived, empty.
 */
export async function* tarTree(
  reading: TreeReading,
  top: ReadEntry | undefined,
  name: string,
): AsyncGenerator<Uint8Array> {
  const writer = new Archiver(reading, Buffer.from(name, "utf8"));
  for (let entry = top ?? (await reading.next()); entry !== undefined; entry = await reading.next())
    yield* writer.entry(entry);
  yield* writer.finish();
}

class Archiver {
  readonly #reading: TreeReading;
  readonly #name: Buffer;
  readonly #tar: TarWriter;
  #chunks: Uint8Array[] = [];
  #size = 0;
  readonly #links = new Map<string, Buffer>();

  constructor(reading: TreeReading, name: Buffer) {
    this.#reading = reading;
    this.#name = name;
    this.#tar = new TarWriter((chunk) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
    });
  }

  async *entry(entry: ReadEntry): AsyncGenerator<Uint8Array> {
    const kind = kinds.get(entry.mode & S_IFMT);
    const path = this.#pathOf(entry);
    if (kind === undefined || path.length === 0 || (entry.foreign && kind !== "directory")) return;
    const input: TarEntryInput & { readonly path: Buffer } = {
      kind,
      path: kind === "directory" ? withSlash(path) : path,
      mode: entry.mode & 0o7777,
      uid: entry.uid,
      gid: entry.gid,
      mtimeNs: entry.mtimeNs,
      deviceMajor: entry.rdevMajor,
      deviceMinor: entry.rdevMinor,
      // File capabilities and the user's own; labels of the host do not leave it.
      xattrs: entry.xattrs.filter(({ name }) => name === "security.capability" || name.startsWith("user.")),
    };
    if (kind === "directory") this.#directory(entry, input);
    else yield* this.#leaf(entry, input);
    if (this.#size >= batchBytes) yield* this.#flush();
  }

  #pathOf({ path }: ReadEntry): Buffer {
    if (path.length === 0) return this.#name;
    return this.#name.length === 0 ? Buffer.from(path) : Buffer.concat([withSlash(this.#name), path]);
  }

  #directory({ path }: ReadEntry, input: TarEntryInput): void {
    if (path.filter((byte) => byte === slash).length >= maxDepth)
      throw new EngineError("resource-exhausted", `directories are nested deeper than ${maxDepth}`);
    this.#tar.entry(input);
  }

  async *#leaf(entry: ReadEntry, input: TarEntryInput & { readonly path: Buffer }): AsyncGenerator<Uint8Array> {
    if (entry.nlink > 1) {
      const first = this.#links.get(entry.identity);
      if (first !== undefined) {
        this.#tar.entry({ ...input, kind: "hardlink", linkPath: first, xattrs: [] });
        return;
      }
      this.#links.set(entry.identity, input.path);
    }
    if (input.kind === "symlink") this.#tar.entry({ ...input, linkPath: entry.target });
    else if (input.kind === "file") yield* this.#file(Number(entry.size), input);
    else this.#tar.entry(input);
  }

  /** A file that shrinks meanwhile is filled with zeros: the header has gone out. */
  async *#file(size: number, input: TarEntryInput): AsyncGenerator<Uint8Array> {
    this.#tar.entry({ ...input, size });
    let left = size;
    for await (const data of this.#reading.content()) {
      this.#tar.data(data);
      left -= data.length;
      if (this.#size >= batchBytes) yield* this.#flush();
    }
    while (left > 0) {
      const zeros = new Uint8Array(Math.min(readBytes, left));
      this.#tar.data(zeros);
      left -= zeros.length;
      if (this.#size >= batchBytes) yield* this.#flush();
    }
  }

  async *#flush(): AsyncGenerator<Uint8Array> {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#size = 0;
    if (chunks.length > 0) yield chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }

  async *finish(): AsyncGenerator<Uint8Array> {
    this.#tar.finish();
    yield* this.#flush();
  }
}

const slash = 0x2f;

function withSlash(path: Buffer): Buffer {
  return path.at(-1) === slash ? path : Buffer.concat([path, Buffer.from("/")]);
}
