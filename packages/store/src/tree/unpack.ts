/**
 * Fills a layer's directory from its tar (image-spec layer.md). The archive is hostile until it has been read: every path is walked component by
 * component through descriptors, no symlink is followed, nothing is written, linked or removed outside of the directory.
 *
 * Whiteouts become overlayfs's: `.wh.NAME` a character device 0:0, `.wh..wh..opq` the xattr trusted.overlay.opaque. An archive cannot bring
 * either by itself, nor any other of overlayfs's marks.
 *
 * Synchronous, for worker threads. What a failure leaves is the draft's to remove.
 */
import { nameText, namePath, TarReader, type TarEntry, type TarLimits } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { parseDiffId } from "@fathom/spec";
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  emptyDirectory,
  isSysError,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  type Stat,
  type Sys,
} from "@fathom/sys";
import type { LayerUnpacker, UnpackedLayer } from "../contract.ts";
import { storageError } from "../errors.ts";
import { isLayerXattr } from "./layer-xattr.ts";
import { isWhiteout, opaqueXattr } from "./tree.ts";

const whiteoutPrefix = ".wh.";
const whiteoutMetaPrefix = ".wh..wh.";
const opaqueMarker = ".wh..wh..opq";
const opaqueValue = Uint8Array.of(0x79);
const maxDepth = 1000;
/** Directories without an entry of their own: they are handed to another thread. */
const maxImplied = 100_000;
const maxImpliedBytes = 16 * 1024 * 1024;
/** What the kernel is told in nanoseconds of 64 bits: the years 1677 to 2262. */
const lastTimeNs = 2n ** 63n - 1n;
/** Directories that are kept open while the archive goes through their neighbourhood. */
const directoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

export interface UnpackOptions {
  readonly limits?: Partial<TarLimits>;
}

export function createLayerUnpacker(sys: Sys, diffPath: string, options: UnpackOptions = {}): LayerUnpacker {
  return new Unpacker(sys, diffPath, options);
}

interface OpenDirectory {
  /** Byte string of its name in the parent. */
  readonly name: string;
  readonly fd: number;
}

class Unpacker implements LayerUnpacker {
  readonly #sys: Sys;
  readonly #reader: TarReader;
  readonly #hasher = new Bun.CryptoHasher("sha256");
  readonly #rootFd: number;
  /** From the root down to the directory of the last entry. */
  #stack: OpenDirectory[] = [];
  /** Times of directories, set when nothing is written into them any more. Byte-string paths. */
  readonly #directoryTimes = new Map<string, bigint>();
  /** Made on the way to an entry. Byte-string paths. */
  readonly #implied = new Set<string>();
  #impliedBytes = 0;
  #fileFd: number | undefined;
  #file: { readonly entry: TarEntry; readonly parent: number; readonly name: string } | undefined;
  #size = 0;
  #closed = false;

  constructor(sys: Sys, diffPath: string, options: UnpackOptions) {
    this.#sys = sys;
    this.#rootFd = sys.open(diffPath, directoryFlags);
    this.#reader = new TarReader(
      {
        entry: (entry) => this.#named(entry, () => this.#entry(entry)),
        data: (chunk, offset) => this.#data(chunk, offset),
        end: () => this.#end(),
      },
      options.limits,
    );
  }

  write(chunk: Uint8Array): void {
    this.#hasher.update(chunk);
    this.#reader.push(chunk);
  }

  finish(): UnpackedLayer {
    try {
      this.#reader.finish();
      this.#applyDirectoryTimes();
    } finally {
      this.abort();
    }
    return {
      diffId: parseDiffId(`sha256:${this.#hasher.digest("hex")}`),
      size: this.#size,
      entries: this.#reader.entries,
      implied: [...this.#implied],
    };
  }

  abort(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#fileFd !== undefined) this.#sys.close(this.#fileFd);
    this.#fileFd = undefined;
    this.#closeStack(0);
    this.#sys.close(this.#rootFd);
  }

  /** Names the entry in what goes wrong with it. */
  #named<T>(entry: TarEntry, action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (error instanceof EngineError) throw error;
      throw storageError(`unpacking ${show(entry.path)}`, error);
    }
  }

  #refuse(entry: TarEntry, rule: string): EngineError {
    return new EngineError("invalid-argument", `refused to unpack ${show(entry.path)}: ${rule}`);
  }

  #entry(entry: TarEntry): void {
    const parts = this.#split(entry, entry.path);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.kind !== "directory") throw this.#refuse(entry, "it names the layer's own directory");
      this.#attributes(this.#rootFd, ".", entry);
      this.#directoryTimes.set("", timeOf(entry));
      return;
    }
    const parent = this.#enter(entry, parts);
    if (name.startsWith(whiteoutPrefix)) return this.#whiteout(entry, parent, parts, name);
    switch (entry.kind) {
      case "directory":
        return this.#directory(entry, parent, name, [...parts, name].join("/"));
      case "file":
        return this.#openFile(entry, parent, name);
      case "symlink":
        this.#clear(parent, name);
        this.#sys.symlinkat(namePath(entry.linkPath), parent, namePath(name));
        break;
      case "hardlink":
        return this.#hardlink(entry, parent, name);
      case "character-device":
      case "block-device":
        this.#device(entry, parent, name);
        break;
      case "fifo":
        this.#clear(parent, name);
        this.#sys.mknodat(parent, namePath(name), S_IFIFO | 0o600, 0, 0);
        break;
      case "socket":
        throw this.#refuse(entry, "a socket is no part of a layer");
    }
    this.#attributes(parent, namePath(name), entry);
  }

  /** Components of a path; a leading "/" and "." mean nothing, ".." is refused. */
  #split(entry: TarEntry, path: string): string[] {
    const parts: string[] = [];
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      if (part === "..") throw this.#refuse(entry, 'its path has ".." in it');
      if (part.length > 255) throw this.#refuse(entry, "a part of its path is longer than 255 bytes");
      parts.push(part);
    }
    if (parts.length > maxDepth) throw this.#refuse(entry, `it is nested deeper than ${maxDepth}`);
    return parts;
  }

  /** Descriptor of a directory, made where it is missing. Neighbours of the last one cost nothing. */
  #enter(entry: TarEntry, parts: readonly string[], make = true): number {
    let common = 0;
    while (common < parts.length && this.#stack[common]?.name === parts[common]) common++;
    this.#closeStack(common);
    for (const name of parts.slice(common)) {
      const at = this.#stack.at(-1)?.fd ?? this.#rootFd;
      this.#stack.push({ name, fd: this.#openDirectory(entry, at, name, make) });
    }
    return this.#stack.at(-1)?.fd ?? this.#rootFd;
  }

  #openDirectory(entry: TarEntry, at: number, name: string, make: boolean): number {
    const path = namePath(name);
    try {
      return this.#sys.openat2(at, path, { flags: directoryFlags });
    } catch (error) {
      if (isSysError(error, "ENOENT") && make) {
        this.#imply(entry, name);
        this.#sys.mkdirat(at, path, 0o755);
        this.#sys.fchmodat(at, path, 0o755);
        return this.#sys.openat2(at, path, { flags: directoryFlags });
      }
      if (isSysError(error, "ELOOP", "ENOTDIR")) {
        const stat = this.#stat(at, name);
        if (stat !== undefined && isWhiteout(stat) && make) {
          // The whole directory of the layers below was removed, and this is a new one.
          this.#sys.unlinkat(at, path, 0);
          this.#sys.mkdirat(at, path, 0o755);
          this.#sys.setxattrat(at, path, opaqueXattr, opaqueValue);
          return this.#sys.openat2(at, path, { flags: directoryFlags });
        }
        const what =
          ((stat?.mode ?? 0) & S_IFMT) === S_IFLNK ? "through a symlink" : "below something that is no directory";
        throw this.#refuse(entry, `it would be written ${what} (${show(name)})`);
      }
      throw error;
    }
  }

  /** `name` is made in the directory that was entered last. */
  #imply(entry: TarEntry, name: string): void {
    const path = [...this.#stack.map((directory) => directory.name), name].join("/");
    if (this.#implied.has(path)) return;
    this.#impliedBytes += path.length;
    if (this.#implied.size >= maxImplied || this.#impliedBytes > maxImpliedBytes)
      throw new EngineError(
        "resource-exhausted",
        `unpacking ${show(entry.path)}: over the limit of ${maxImplied} directories (or ${maxImpliedBytes} bytes of their names) that have no entry of their own in the layer`,
      );
    this.#implied.add(path);
  }

  #closeStack(keep: number): void {
    for (const { fd } of this.#stack.splice(keep)) this.#sys.close(fd);
  }

  #stat(at: number, name: string): Stat | undefined {
    try {
      return this.#sys.fstatat(at, namePath(name), AT_SYMLINK_NOFOLLOW);
    } catch (error) {
      if (isSysError(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Takes away what an earlier entry of the same name made. */
  #clear(at: number, name: string): void {
    const stat = this.#stat(at, name);
    if (stat === undefined) return;
    if ((stat.mode & S_IFMT) !== S_IFDIR) return this.#sys.unlinkat(at, namePath(name), 0);
    const fd = this.#sys.openat2(at, namePath(name), { flags: directoryFlags });
    try {
      emptyDirectory(this.#sys, fd);
    } finally {
      this.#sys.close(fd);
    }
    this.#sys.unlinkat(at, namePath(name), AT_REMOVEDIR);
  }

  #directory(entry: TarEntry, parent: number, name: string, path: string): void {
    const stat = this.#stat(parent, name);
    if (stat === undefined || (stat.mode & S_IFMT) !== S_IFDIR) {
      const replacesWhiteout = stat !== undefined && isWhiteout(stat);
      if (stat !== undefined) this.#sys.unlinkat(parent, namePath(name), 0);
      this.#sys.mkdirat(parent, namePath(name), 0o700);
      if (replacesWhiteout) this.#sys.setxattrat(parent, namePath(name), opaqueXattr, opaqueValue);
    }
    this.#implied.delete(path);
    this.#attributes(parent, namePath(name), entry);
    this.#directoryTimes.set(path, timeOf(entry));
  }

  #openFile(entry: TarEntry, parent: number, name: string): void {
    const how = { flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode: 0o600 };
    try {
      this.#fileFd = this.#sys.openat2(parent, namePath(name), how);
    } catch (error) {
      if (!isSysError(error, "EEXIST")) throw error;
      this.#clear(parent, name);
      this.#fileFd = this.#sys.openat2(parent, namePath(name), how);
    }
    this.#file = { entry, parent, name };
    this.#size += entry.size;
  }

  #data(chunk: Uint8Array, offset: number): void {
    const fd = this.#fileFd;
    if (fd === undefined) return;
    try {
      for (let done = 0; done < chunk.length;)
        done += this.#sys.pwrite(fd, done === 0 ? chunk : chunk.subarray(done), BigInt(offset + done));
    } catch (error) {
      throw storageError(`unpacking ${show(this.#file!.entry.path)}`, error);
    }
  }

  #end(): void {
    const file = this.#file;
    if (file === undefined) return;
    const fd = this.#fileFd!;
    this.#file = undefined;
    this.#fileFd = undefined;
    try {
      // A hole at the end has no data that would make the file long enough.
      if (file.entry.sparse) this.#named(file.entry, () => this.#sys.ftruncate(fd, BigInt(file.entry.size)));
    } finally {
      this.#sys.close(fd);
    }
    this.#named(file.entry, () => this.#attributes(file.parent, namePath(file.name), file.entry));
  }

  #hardlink(entry: TarEntry, parent: number, name: string): void {
    const parts = this.#split(entry, entry.linkPath);
    const targetName = parts.pop();
    if (targetName === undefined) throw this.#refuse(entry, "it is a hard link to the layer's own directory");
    const opened: number[] = [];
    try {
      let at = this.#rootFd;
      for (const part of parts) {
        try {
          at = this.#openDirectory(entry, at, part, false);
        } catch (error) {
          if (isSysError(error, "ENOENT")) throw this.#missingTarget(entry);
          throw error;
        }
        opened.push(at);
      }
      const target = this.#stat(at, targetName);
      if (target === undefined) throw this.#missingTarget(entry);
      const existing = this.#stat(parent, name);
      if (existing !== undefined && existing.ino === target.ino && existing.dev === target.dev)
        throw this.#refuse(entry, "it is a hard link to itself");
      if ((target.mode & S_IFMT) === S_IFDIR || isWhiteout(target))
        throw this.#refuse(entry, `it is a hard link to ${show(entry.linkPath)}, which is no file`);
      this.#clear(parent, name);
      try {
        this.#sys.linkat(at, namePath(targetName), parent, namePath(name), 0);
      } catch (error) {
        // What was cleared away held the target.
        if (isSysError(error, "ENOENT")) throw this.#missingTarget(entry);
        throw error;
      }
    } finally {
      for (const fd of opened) this.#sys.close(fd);
    }
  }

  #missingTarget(entry: TarEntry): EngineError {
    return this.#refuse(entry, `it is a hard link to ${show(entry.linkPath)}, which this layer does not have`);
  }

  #device(entry: TarEntry, parent: number, name: string): void {
    const type = entry.kind === "block-device" ? S_IFBLK : S_IFCHR;
    if (type === S_IFCHR && entry.deviceMajor === 0 && entry.deviceMinor === 0)
      throw this.#refuse(entry, "a character device 0:0 would hide a file of the layers below");
    this.#clear(parent, name);
    this.#sys.mknodat(parent, namePath(name), type | 0o600, entry.deviceMajor, entry.deviceMinor);
  }

  #whiteout(entry: TarEntry, parent: number, parts: readonly string[], name: string): void {
    if (name === opaqueMarker) return this.#sys.setxattrat(parent, ".", opaqueXattr, opaqueValue);
    // Marks of aufs, which other storage drivers leave in archives.
    if (name.startsWith(whiteoutMetaPrefix)) return;
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw this.#refuse(entry, "it is a whiteout of no name");
    const stat = this.#stat(parent, hidden);
    if (stat === undefined) {
      this.#sys.mknodat(parent, namePath(hidden), S_IFCHR, 0, 0);
      return;
    }
    // A whiteout is about the layers below. A new directory of that name hides what the old one held; a file does so anyway.
    if ((stat.mode & S_IFMT) !== S_IFDIR) return;
    this.#sys.setxattrat(parent, namePath(hidden), opaqueXattr, opaqueValue);
    this.#implied.delete([...parts, hidden].join("/"));
  }

  /** Owner before mode and xattrs: changing the owner takes setuid bits and capabilities away. */
  #attributes(at: number, name: string | Uint8Array, entry: TarEntry): void {
    this.#sys.fchownat(at, name, entry.uid, entry.gid);
    if (entry.kind !== "symlink") this.#sys.fchmodat(at, name, entry.mode);
    for (const xattr of entry.xattrs) {
      if (!isLayerXattr(xattr.name)) continue;
      try {
        this.#sys.setxattrat(at, name, xattr.name, xattr.value);
      } catch (error) {
        // user.* on a device or symlink, ACLs on a file system without them.
        if (!isSysError(error, "ENOTSUP", "EOPNOTSUPP", "EPERM")) throw error;
      }
    }
    if (entry.kind !== "directory") this.#sys.utimensat(at, name, timeOf(entry), timeOf(entry));
  }

  #applyDirectoryTimes(): void {
    // Neighbours one after another: each directory is opened about once.
    for (const path of [...this.#directoryTimes.keys()].sort()) {
      const time = this.#directoryTimes.get(path)!;
      const parts = path === "" ? [] : path.split("/");
      try {
        const entry = { path, kind: "directory" } as TarEntry;
        this.#sys.utimensat(this.#enter(entry, parts, false), ".", time, time);
      } catch (error) {
        // A later entry took its place, or that of a directory above.
        if (!(error instanceof EngineError) && !isSysError(error, "ENOENT"))
          throw storageError(`unpacking ${show(path)}`, error);
      }
    }
  }
}

/** A time that no file of ours can have becomes the epoch, as Docker has it. */
function timeOf({ mtimeNs }: TarEntry): bigint {
  return mtimeNs > lastTimeNs || mtimeNs < -lastTimeNs ? 0n : mtimeNs;
}

function show(path: string): string {
  const text = nameText(path);
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
