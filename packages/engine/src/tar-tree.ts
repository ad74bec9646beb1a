/**
 * A file or a tree of a container as a tar stream, read through descriptors: no symlink of the container is followed on the way, and what
 * changes while it is read can spoil its own content only.
 */
import { TarWriter, type TarEntryInput, type TarKind, type TarXattr } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import {
  AT_STATX_DONT_SYNC,
  AT_EMPTY_PATH,
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Stat,
  type Sys,
} from "@fathom/sys";
import { sortedNames } from "@fathom/store/directory-names";
import { openEntry, openForReading, type OpenEntry } from "@fathom/store/tree";
import type { ContainerRoot } from "./container-root.ts";

/** Each level holds a descriptor. */
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

export interface TarTreeOptions {
  /** Name of the topmost entry in the archive; "" leaves it out and names the others from there. */
  readonly name: string;
  /** What other mounts hold is left out (their mount points are there, empty). */
  readonly oneMount: boolean;
}

export async function* tarTree(
  sys: Sys,
  root: ContainerRoot,
  path: string,
  options: TarTreeOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const writer = new Archiver(sys, options.oneMount, signal);
  const fd = root.open(path, O_PATH | O_NOFOLLOW);
  try {
    yield* writer.entry(fd, options.name);
  } finally {
    sys.close(fd);
  }
  yield* writer.finish();
}

class Archiver {
  readonly #sys: Sys;
  readonly #oneMount: boolean;
  readonly #signal: AbortSignal;
  readonly #tar: TarWriter;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #mountId: bigint | undefined;
  readonly #links = new Map<string, Buffer>();

  constructor(sys: Sys, oneMount: boolean, signal: AbortSignal) {
    this.#sys = sys;
    this.#oneMount = oneMount;
    this.#signal = signal;
    this.#tar = new TarWriter((chunk) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
    });
  }

  /** `fd` is an O_PATH descriptor of the thing itself. */
  async *entry(fd: number, name: string): AsyncGenerator<Uint8Array> {
    const stat = this.#sys.fstatat(fd, "", AT_EMPTY_PATH);
    this.#mountId = stat.mountId;
    const bytes = Buffer.from(name, "utf8");
    if ((stat.mode & S_IFMT) !== S_IFDIR) {
      yield* this.#leaf(fd, stat, bytes);
      return;
    }
    if (bytes.length > 0) this.#tar.entry({ ...this.#input(fd, stat), path: withSlash(bytes), kind: "directory" });
    const directory = this.#sys.openat2(fd, ".", { flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC });
    try {
      yield* this.#directory(directory, bytes, 0);
    } finally {
      this.#sys.close(directory);
    }
  }

  async *#directory(fd: number, path: Buffer, depth: number): AsyncGenerator<Uint8Array> {
    if (depth > maxDepth) throw new EngineError("resource-exhausted", `directories are nested deeper than ${maxDepth}`);
    for (const bytes of await sortedNames(this.#sys, fd)) {
      const name = Buffer.from(bytes);
      // Of another mount only the place is wanted: its server is not asked, it may be away.
      const entry = openEntry(this.#sys, fd, name, this.#oneMount ? AT_STATX_DONT_SYNC : 0);
      if (entry === undefined) continue;
      const inner = path.length === 0 ? name : Buffer.concat([withSlash(path), name]);
      let below: number | undefined;
      try {
        if ((entry.stat.mode & S_IFMT) === S_IFDIR) below = this.#enter(entry, inner);
        else if (!this.#foreign(entry.stat)) yield* this.#leaf(entry.fd, entry.stat, inner);
      } finally {
        this.#sys.close(entry.fd);
      }
      if (below !== undefined)
        try {
          yield* this.#directory(below, inner, depth + 1);
        } finally {
          this.#sys.close(below);
        }
      if (this.#size >= batchBytes) yield* this.#flush();
    }
  }

  /** Archives the directory itself and opens it; undefined where its content is not wanted. */
  #enter({ fd, stat }: OpenEntry, path: Buffer): number | undefined {
    this.#tar.entry({ ...this.#input(fd, stat), path: withSlash(path), kind: "directory" });
    return this.#foreign(stat) ? undefined : this.#sys.openat2(fd, ".", { flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC });
  }

  /** A mount inside the tree, when only the tree's own mount is wanted. */
  #foreign(stat: Stat): boolean {
    return this.#oneMount && stat.mountId !== this.#mountId;
  }

  /** `fd`: O_PATH descriptor of the thing itself. */
  async *#leaf(fd: number, stat: Stat, path: Buffer): AsyncGenerator<Uint8Array> {
    const kind = kinds.get(stat.mode & S_IFMT);
    if (kind === undefined) return;
    const input: TarEntryInput = { ...this.#input(fd, stat), kind, path };
    if (stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`;
      const first = this.#links.get(key);
      if (first !== undefined) {
        this.#tar.entry({ ...input, kind: "hardlink", linkPath: first, xattrs: [] });
        return;
      }
      this.#links.set(key, path);
    }
    if (kind === "symlink") this.#tar.entry({ ...input, linkPath: this.#sys.readlinkat(fd, "") });
    else if (kind === "file") yield* this.#file(fd, stat, input);
    else this.#tar.entry(input);
  }

  /** A file that shrinks meanwhile is filled with zeros, one that grows is cut: the header has gone out. */
  async *#file(fd: number, stat: Stat, input: TarEntryInput): AsyncGenerator<Uint8Array> {
    let file: number;
    try {
      file = openForReading(this.#sys, fd);
    } catch (error) {
      if (isGone(error)) return;
      throw error;
    }
    try {
      let left = Number(stat.size);
      this.#tar.entry({ ...input, size: left });
      while (left > 0) {
        const buffer = new Uint8Array(Math.min(readBytes, left));
        const count = Math.max(0, this.#sys.read(file, buffer));
        this.#tar.data(count > 0 ? buffer.subarray(0, count) : buffer);
        left -= count > 0 ? count : buffer.length;
        if (this.#size >= batchBytes) yield* this.#flush();
      }
    } finally {
      this.#sys.close(file);
    }
  }

  #input(fd: number, stat: Stat): Omit<TarEntryInput, "kind" | "path"> {
    return {
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      mtimeNs: stat.mtimeNs,
      deviceMajor: stat.rdevMajor,
      deviceMinor: stat.rdevMinor,
      xattrs: this.#foreign(stat) ? [] : this.#xattrs(fd),
    };
  }

  /** File capabilities and the user's own; labels of the host do not leave it. */
  #xattrs(fd: number): TarXattr[] {
    try {
      return this.#sys.listxattrat(fd, "").flatMap((key) => {
        if (key !== "security.capability" && !key.startsWith("user.")) return [];
        const value = this.#sys.getxattrat(fd, "", key);
        return value === undefined ? [] : [{ name: key, value }];
      });
    } catch (error) {
      if (isGone(error) || isSysError(error, "ENOTSUP", "EBADF")) return [];
      throw error;
    }
  }

  async *#flush(): AsyncGenerator<Uint8Array> {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#size = 0;
    if (this.#signal.aborted) throw new EngineError("aborted", "the client went away");
    if (chunks.length > 0) yield Buffer.concat(chunks);
  }

  async *finish(): AsyncGenerator<Uint8Array> {
    this.#tar.finish();
    yield* this.#flush();
  }
}

function withSlash(path: Buffer): Buffer {
  return path.at(-1) === 0x2f ? path : Buffer.concat([path, Buffer.from("/")]);
}

function isGone(error: unknown): boolean {
  return isSysError(error, "ENOENT", "ENOTDIR", "ELOOP", "ESTALE");
}
