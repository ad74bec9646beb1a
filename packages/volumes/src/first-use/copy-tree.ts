/**
 * Copies a directory's content through descriptors: nothing of the source can lead outside of it, and nothing of a path is
 * resolved twice. For a volume's first use (image content into the volume).
 *
 * Kept: type, owner, mode, times, xattrs, hard links within the tree, holes of files. Sockets are left out, as they mean nothing elsewhere.
 * Synchronous and as long as the tree is large: anything but a small one is copied in a worker thread (fill-volumes.ts).
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
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  type Sys,
} from "@fathom/sys";
import { openEntry, openForReading, type OpenEntry } from "@fathom/store";

const depthLimit = 500;
const copyBytes = 1 << 18;
const directoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/** Called at each step. What it throws ends the copy. */
export interface CopyWatch {
  /** A thing of the source was found. */
  entry(): void;
  /** So many bytes are about to be copied. */
  bytes(count: number): void;
}

/** Copies the content of directory `from` into the empty directory `to`, and owner, mode and times of the directory itself. */
function copyTree(sys: Sys, from: number, to: number, watch: CopyWatch): void {
  new TreeCopy(sys, to, watch).directory(from, to, "", 0);
}

/** As `copyTree`; what was copied is taken away again when something goes wrong. */
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
    // A change of owner takes setuid bits and capabilities away, so these come after it.
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

  /** Gives how far it came: a file may have been cut off meanwhile. */
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

/** From a descriptor (O_PATH too) to a name in a directory; "" is the directory itself. */
function copyXattrs(sys: Sys, from: number, to: number, toName: string | Uint8Array): void {
  for (const name of sys.listxattrat(from, "")) {
    // overlayfs's own bookkeeping is no property of the file.
    if (name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.")) continue;
    const value = sys.getxattrat(from, "", name);
    if (value !== undefined) sys.setxattrat(to, toName, name, value);
  }
}
