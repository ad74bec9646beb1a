/**
 * A file or a tree of a container as a tar stream, read through descriptors: no symlink of the container is followed on the way, and what
 * changes while it is read can spoil its own content only.
 */
import { TarWriter, type TarEntryInput, type TarKind, type TarXattr } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import {
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
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
      // Its parent is not at hand: reopened through its own descriptor.
      yield* this.#leaf(fd, "", stat, bytes);
      return;
    }
    if (bytes.length > 0) this.#tar.entry({ ...this.#input(fd, ".", stat), path: withSlash(bytes), kind: "directory" });
    const directory = this.#sys.openat2(fd, ".", { flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC });
    try {
      yield* this.#directory(directory, bytes, 0);
    } finally {
      this.#sys.close(directory);
    }
  }

  async *#directory(fd: number, path: Buffer, depth: number): AsyncGenerator<Uint8Array> {
    if (depth > maxDepth) throw new EngineError("resource-exhausted", `directories are nested deeper than ${maxDepth}`);
    const names = this.#sys
      .readDirectory(fd)
      .map((entry) => Buffer.from(entry.name))
      .filter((name) => !isDots(name))
      .sort(Buffer.compare);
    for (const name of names) {
      let stat: Stat;
      try {
        stat = this.#sys.fstatat(fd, name, AT_SYMLINK_NOFOLLOW);
      } catch (error) {
        if (isGone(error)) continue;
        throw error;
      }
      const inner = path.length === 0 ? name : Buffer.concat([withSlash(path), name]);
      if ((stat.mode & S_IFMT) === S_IFDIR) yield* this.#subdirectory(fd, name, stat, inner, depth);
      else if (!this.#foreign(stat)) yield* this.#leaf(fd, name, stat, inner);
      if (this.#size >= batchBytes) yield* this.#flush();
    }
  }

  async *#subdirectory(fd: number, name: Buffer, stat: Stat, path: Buffer, depth: number): AsyncGenerator<Uint8Array> {
    this.#tar.entry({ ...this.#input(fd, name, stat), path: withSlash(path), kind: "directory" });
    if (this.#foreign(stat)) return;
    let inner: number;
    try {
      inner = this.#sys.openat2(fd, name, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC });
    } catch (error) {
      if (isGone(error)) return;
      throw error;
    }
    try {
      yield* this.#directory(inner, path, depth + 1);
    } finally {
      this.#sys.close(inner);
    }
  }

  /** A mount inside the tree, when only the tree's own mount is wanted. */
  #foreign(stat: Stat): boolean {
    return this.#oneMount && stat.mountId !== this.#mountId;
  }

  async *#leaf(fd: number, name: Buffer | "", stat: Stat, path: Buffer): AsyncGenerator<Uint8Array> {
    const kind = kinds.get(stat.mode & S_IFMT);
    if (kind === undefined) return;
    const input: TarEntryInput = { ...this.#input(fd, name, stat), kind, path };
    if (stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`;
      const first = this.#links.get(key);
      if (first !== undefined) {
        this.#tar.entry({ ...input, kind: "hardlink", linkPath: first, xattrs: [] });
        return;
      }
      this.#links.set(key, path);
    }
    try {
      if (kind === "symlink") this.#tar.entry({ ...input, linkPath: this.#sys.readlinkat(fd, name) });
      else if (kind === "file") yield* this.#file(fd, name, stat, input);
      else this.#tar.entry(input);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** A file that shrinks meanwhile is filled with zeros, one that grows is cut: the header has gone out. */
  async *#file(fd: number, name: Buffer | "", stat: Stat, input: TarEntryInput): AsyncGenerator<Uint8Array> {
    const flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
    const file =
      name === ""
        ? this.#sys.open(`/proc/self/fd/${fd}`, flags)
        : this.#sys.openat2(fd, name, { flags: flags | O_NOFOLLOW });
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

  #input(fd: number, name: Buffer | string, stat: Stat): Omit<TarEntryInput, "kind" | "path"> {
    return {
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      mtimeNs: stat.mtimeNs,
      deviceMajor: stat.rdevMajor,
      deviceMinor: stat.rdevMinor,
      xattrs: name === "" ? [] : this.#xattrs(fd, name),
    };
  }

  /** File capabilities and the user's own; labels of the host do not leave it. */
  #xattrs(fd: number, name: Buffer | string): TarXattr[] {
    try {
      return this.#sys.listxattrat(fd, name).flatMap((key) => {
        if (key !== "security.capability" && !key.startsWith("user.")) return [];
        const value = this.#sys.getxattrat(fd, name, key);
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

function isDots(name: Buffer): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

function isGone(error: unknown): boolean {
  return isSysError(error, "ENOENT", "ENOTDIR", "ELOOP", "ESTALE");
}
