/**
 * Fills a layer's directory from its tar (image-spec layer.md). The archive may be hostile: every path is walked component by component through
 * descriptors, no symlink is followed, and nothing outside of the directory is written, linked or removed.
 *
 * Whiteouts take overlayfs's form: `.wh.NAME` becomes a character device 0:0, `.wh..wh..opq` the xattr trusted.overlay.opaque. An archive
 * itself may contain neither of these, nor any other mark of overlayfs.
 *
 * Synchronous, for worker threads. After a failure, the draft removes the files.
 */
import { namePath, TarReader, type TarEntry, type TarLimits } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { parseDiffId } from "@fathom/spec";
import {
  AT_REMOVEDIR,
  emptyDirectory,
  isSysError,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  type Sys,
} from "@fathom/sys";
import type { LayerUnpacker, UnpackedLayer } from "../contract.ts";
import { storageError } from "../errors.ts";
import { isWhiteout, statChild } from "../tree/tree.ts";
import { DirectoryTimes, setAttributes } from "./attributes.ts";
import { pathParts, refusal, shown } from "./entry-path.ts";
import { directoryFlags, markOpaque, OpenDirectories } from "./open-directories.ts";

const whiteoutPrefix = ".wh.";
const whiteoutMetaPrefix = ".wh..wh.";
const opaqueMarker = ".wh..wh..opq";

export interface UnpackOptions {
  readonly limits?: Partial<TarLimits>;
}

export function createLayerUnpacker(sys: Sys, diffPath: string, options: UnpackOptions = {}): LayerUnpacker {
  return new Unpacker(sys, diffPath, options);
}

class Unpacker implements LayerUnpacker {
  readonly #sys: Sys;
  readonly #reader: TarReader;
  readonly #hasher = new Bun.CryptoHasher("sha256");
  readonly #rootFd: number;
  readonly #directories: OpenDirectories;
  readonly #times = new DirectoryTimes();
  #fileFd: number | undefined;
  #file: { readonly entry: TarEntry; readonly parent: number; readonly name: string } | undefined;
  #size = 0;
  #closed = false;

  constructor(sys: Sys, diffPath: string, options: UnpackOptions) {
    this.#sys = sys;
    this.#rootFd = sys.open(diffPath, directoryFlags);
    this.#directories = new OpenDirectories(sys, this.#rootFd);
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
      this.#times.set(this.#sys, this.#directories);
    } finally {
      this.abort();
    }
    return {
      diffId: parseDiffId(`sha256:${this.#hasher.digest("hex")}`),
      size: this.#size,
      entries: this.#reader.entries,
      implied: this.#directories.implied,
    };
  }

  abort(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#fileFd !== undefined) this.#sys.close(this.#fileFd);
    this.#fileFd = undefined;
    this.#directories.close();
    this.#sys.close(this.#rootFd);
  }

  /** Adds the entry's name to its errors. */
  #named<T>(entry: TarEntry, action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (error instanceof EngineError) throw error;
      throw storageError(`unpacking ${shown(entry.path)}`, error);
    }
  }

  #entry(entry: TarEntry): void {
    const parts = pathParts(entry.path, entry.path);
    const name = parts.pop();
    if (name === undefined) {
      if (entry.kind !== "directory") throw refusal(entry.path, "it names the layer's own directory");
      setAttributes(this.#sys, this.#rootFd, ".", entry);
      this.#times.add("", entry);
      return;
    }
    const parent = this.#directories.enter(entry.path, parts);
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
        throw refusal(entry.path, "a socket cannot be part of a layer");
    }
    setAttributes(this.#sys, parent, namePath(name), entry);
  }

  /** Removes what an earlier entry with the same name made. */
  #clear(at: number, name: string): void {
    const stat = statChild(this.#sys, at, namePath(name));
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
    const stat = statChild(this.#sys, parent, namePath(name));
    if (stat === undefined || (stat.mode & S_IFMT) !== S_IFDIR) {
      const replacesWhiteout = stat !== undefined && isWhiteout(stat);
      if (stat !== undefined) this.#sys.unlinkat(parent, namePath(name), 0);
      this.#sys.mkdirat(parent, namePath(name), 0o700);
      if (replacesWhiteout) markOpaque(this.#sys, parent, namePath(name));
    }
    this.#directories.notImplied(path);
    setAttributes(this.#sys, parent, namePath(name), entry);
    this.#times.add(path, entry);
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
      throw storageError(`unpacking ${shown(this.#file!.entry.path)}`, error);
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
    this.#named(file.entry, () => setAttributes(this.#sys, file.parent, namePath(file.name), file.entry));
  }

  #hardlink(entry: TarEntry, parent: number, name: string): void {
    const parts = pathParts(entry.path, entry.linkPath);
    const targetName = parts.pop();
    if (targetName === undefined) throw refusal(entry.path, "it is a hard link to the layer's own directory");
    const opened: number[] = [];
    try {
      let at = this.#rootFd;
      for (const part of parts) {
        try {
          at = this.#directories.open(entry.path, at, part, false);
        } catch (error) {
          if (isSysError(error, "ENOENT")) throw this.#missingTarget(entry);
          throw error;
        }
        opened.push(at);
      }
      const target = statChild(this.#sys, at, namePath(targetName));
      if (target === undefined) throw this.#missingTarget(entry);
      const existing = statChild(this.#sys, parent, namePath(name));
      if (existing !== undefined && existing.ino === target.ino && existing.dev === target.dev)
        throw refusal(entry.path, "it is a hard link to itself");
      if ((target.mode & S_IFMT) === S_IFDIR || isWhiteout(target))
        throw refusal(entry.path, `it is a hard link to ${shown(entry.linkPath)}, which is no file`);
      this.#clear(parent, name);
      try {
        this.#sys.linkat(at, namePath(targetName), parent, namePath(name), 0);
      } catch (error) {
        // Removing the earlier entry also removed the target.
        if (isSysError(error, "ENOENT")) throw this.#missingTarget(entry);
        throw error;
      }
    } finally {
      for (const fd of opened) this.#sys.close(fd);
    }
  }

  #missingTarget(entry: TarEntry): EngineError {
    return refusal(entry.path, `it is a hard link to ${shown(entry.linkPath)}, which this layer does not have`);
  }

  #device(entry: TarEntry, parent: number, name: string): void {
    const type = entry.kind === "block-device" ? S_IFBLK : S_IFCHR;
    if (type === S_IFCHR && entry.deviceMajor === 0 && entry.deviceMinor === 0)
      throw refusal(entry.path, "a character device 0:0 would hide a file of the layers below");
    this.#clear(parent, name);
    this.#sys.mknodat(parent, namePath(name), type | 0o600, entry.deviceMajor, entry.deviceMinor);
  }

  #whiteout(entry: TarEntry, parent: number, parts: readonly string[], name: string): void {
    if (name === opaqueMarker) return markOpaque(this.#sys, parent, ".");
    // Marks of aufs, which other storage drivers leave in archives.
    if (name.startsWith(whiteoutMetaPrefix)) return;
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..") throw refusal(entry.path, "it is a whiteout of no name");
    const stat = statChild(this.#sys, parent, namePath(hidden));
    if (stat === undefined) {
      this.#sys.mknodat(parent, namePath(hidden), S_IFCHR, 0, 0);
      return;
    }
    // A whiteout is about the layers below. A new directory with that name hides the old one's content; a file hides it anyway.
    if ((stat.mode & S_IFMT) !== S_IFDIR) return;
    markOpaque(this.#sys, parent, namePath(hidden));
    this.#directories.notImplied([...parts, hidden].join("/"));
  }
}
