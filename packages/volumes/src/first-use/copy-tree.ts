/**
 * Copies a directory's content through descriptors: nothing in the source can lead outside of it, and no part of a path is resolved twice. For
 * a volume's first use (image content into the volume).
 *
 * It keeps type, owner, mode, times, xattrs, hard links within the tree, and holes of files. Sockets are left out, because they mean nothing
 * elsewhere.
 * It is synchronous and takes long for a large tree, so a worker thread copies all but small trees (fill-volumes.ts).
 */
import {
  emptyDirectory,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  openEntry,
  openForReading,
  type OpenEntry,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type Sys,
} from "@fathom/sys";

const depthLimit = 500;
const copyBytes = 1 << 18;
const directoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/** Called at each step. An error that it throws ends the copy. */
export interface CopyWatch {
  /** An entry of the source was found. */
  entry(): void;
  /** This many bytes will be copied next. */
  bytes(count: number): void;
}

/** Copies the content of directory `from` into the empty directory `to`, and owner, mode and times of the directory itself. */
function copyTree(sys: Sys, from: number, to: number, watch: CopyWatch): void {
  new TreeCopy(sys, to, watch).directory(from, to, "", 0);
}

/** As `copyTree`; when something fails, the copied files are removed again. */
export function copyTreeOrNothing(sys: Sys, from: number, to: number, watch: CopyWatch): void {
  try {
    copyTree(sys, from, to, watch);
  } catch (error) {
    emptyDirectory(sys, to);
    throw error;
  }
}

/** Owner, mode, xattrs and times of a directory, by descriptors. */
export function copyDirectoryAttributes(sys: Sys, from: number, to: number): void {
  const stat = sys.fstat(from);
  sys.fchownat(to, ".", stat.uid, stat.gid);
  sys.fchmod(to, stat.mode & 0o7777);
  copyXattrs(sys, from, to, "");
  sys.utimensat(to, ".", stat.atimeNs, stat.mtimeNs);
}

class TreeCopy {
  readonly #sys: Sys;
  readonly #root: number;
  readonly #watch: CopyWatch;
  /** Paths from the root, as byte strings, of files with several names. */
  readonly #links = new Map<string, string>();
  readonly #buffer = new Uint8Array(copyBytes);

  constructor(sys: Sys, root: number, watch: CopyWatch) {
    this.#sys = sys;
    this.#root = root;
    this.#watch = watch;
  }

  directory(from: number, to: number, path: string, depth: number): void {
    if (depth > depthLimit) throw new Error(`directories are nested deeper than ${depthLimit}`);
    for (const { name } of this.#sys.readDirectory(from)) {
      this.#watch.entry();
      const entry = openEntry(this.#sys, from, name);
      if (entry === undefined) continue;
      try {
        this.#entry(entry, to, name, path + Buffer.from(name).toString("latin1"), depth);
      } finally {
        this.#sys.close(entry.fd);
      }
    }
    copyDirectoryAttributes(this.#sys, from, to);
  }

  #entry(entry: OpenEntry, to: number, name: Uint8Array, path: string, depth: number): void {
    const sys = this.#sys;
    const { fd, stat } = entry;
    const type = stat.mode & S_IFMT;
    if (type === S_IFSOCK) return;
    if (type === S_IFDIR) return this.#subdirectory(fd, to, name, path, depth);
    if (stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`;
      const first = this.#links.get(key);
      if (first !== undefined) {
        sys.linkat(this.#root, Buffer.from(first, "latin1"), to, name, 0);
        return;
      }
      this.#links.set(key, path);
    }
    if (type === S_IFREG) this.#file(entry, to, name);
    else if (type === S_IFLNK) sys.symlinkat(sys.readlinkat(fd, ""), to, name);
    else sys.mknodat(to, name, stat.mode, stat.rdevMajor, stat.rdevMinor);
    // A change of owner removes setuid bits and capabilities, so these are set after it.
    sys.fchownat(to, name, stat.uid, stat.gid);
    if (type !== S_IFLNK) sys.fchmodat(to, name, stat.mode & 0o7777);
    copyXattrs(sys, fd, to, name);
    sys.utimensat(to, name, stat.atimeNs, stat.mtimeNs);
  }

  #subdirectory(entry: number, to: number, name: Uint8Array, path: string, depth: number): void {
    const sys = this.#sys;
    sys.mkdirat(to, name, 0o700);
    const source = sys.openat2(entry, ".", { flags: directoryFlags });
    try {
      const target = sys.openat2(to, name, { flags: directoryFlags | O_NOFOLLOW });
      try {
        this.directory(source, target, `${path}/`, depth + 1);
      } finally {
        sys.close(target);
      }
    } finally {
      sys.close(source);
    }
  }

  #file({ fd, stat }: OpenEntry, to: number, name: Uint8Array): void {
    const sys = this.#sys;
    const source = openForReading(sys, fd);
    try {
      const target = sys.openat2(to, name, {
        flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
        mode: 0o600,
      });
      try {
        for (let at = 0n; ;) {
          const part = sys.nextData(source, at);
          if (part === undefined) break;
          at = this.#part(source, target, part.start, part.end);
          if (at < part.end) break;
        }
        // A hole at the end has no data that would make the file long enough.
        sys.ftruncate(target, stat.size);
      } finally {
        sys.close(target);
      }
    } finally {
      sys.close(source);
    }
  }

  /** Returns how many bytes were copied: the file may have become shorter meanwhile. */
  #part(source: number, target: number, start: bigint, end: bigint): bigint {
    const sys = this.#sys;
    let at = start;
    while (at < end) {
      const wanted = end - at < BigInt(copyBytes) ? Number(end - at) : copyBytes;
      this.#watch.bytes(wanted);
      const count = sys.pread(source, this.#buffer.subarray(0, wanted), at);
      if (count <= 0) break;
      for (let done = 0; done < count;)
        done += sys.pwrite(target, this.#buffer.subarray(done, count), at + BigInt(done));
      at += BigInt(count);
    }
    return at;
  }
}

/** From a descriptor (also O_PATH) to a name in a directory; "" means the directory itself. */
function copyXattrs(sys: Sys, from: number, to: number, toName: string | Uint8Array): void {
  for (const name of sys.listxattrat(from, "")) {
    // overlayfs's own marks are no property of the file.
    if (name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.")) continue;
    const value = sys.getxattrat(from, "", name);
    if (value !== undefined) sys.setxattrat(to, toName, name, value);
  }
}
