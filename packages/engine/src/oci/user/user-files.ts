/**
 * Reads /etc/passwd and /etc/group of a container's root, never of the host: a link in the image ends inside the image. The image decides what
 * these files contain. So they are read line by line, in parts between which other work has its turn, only up to the line that is needed, and
 * only once: an answer is kept as long as the files do not change.
 */
import { EngineError } from "@fathom/base";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_STATX_DONT_SYNC,
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openForReading,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_XDEV,
  S_IFMT,
  S_IFREG,
  type HostFiles,
  type ReadEntry,
  type Sys,
  type TreeReading,
} from "@fathom/sys";
import { lookupUser, type ContainerUser, type LineFile } from "./user.ts";

/** Far above the size of any real file. */
const largestFileBytes = 16 << 20;
/** A longer line is ignored. Groups can have long lines. */
const longestLineBytes = 1 << 20;
const partBytes = 64 << 10;
const largestCache = 256;
/** A file that has just changed may change once more without another time. */
const settledNs = 2_000_000_000n;

interface UserFile extends LineFile {
  /** Changes when the file changes. */
  readonly identity: string;
  readonly ctimeNs: bigint;
}

/** A root, and the container whose mounts are in it; undefined for a root that is not in use yet and has only its own mounts. */
interface Root {
  readonly fd: number;
  readonly pid: number | undefined;
  /** A process may have any directory as its root. */
  readonly local: boolean;
}

export type UserLookupFiles = Pick<HostFiles, "isLocal" | "readTree">;

/** Looks up users in roots, and keeps earlier answers. */
export class UserLookup {
  readonly #sys: Sys;
  readonly #files: UserLookupFiles;
  /** By identity of the files and the question; the oldest entry is dropped first. */
  readonly #known = new Map<string, ContainerUser>();

  constructor(sys: Sys, files: UserLookupFiles) {
    this.#sys = sys;
    this.#files = files;
  }

  /** @throws as `lookupUser`; resource-exhausted for a file above the limit */
  inRoot(rootFd: number, spec: string, groupAdd: readonly string[]): Promise<ContainerUser> {
    return this.#look({ fd: rootFd, pid: undefined, local: true }, spec, groupAdd);
  }

  /** For a running container, through its first process. @throws also timeout, when a file is on a file system whose server does not answer */
  async ofProcess(pid: number, spec: string, groupAdd: readonly string[]): Promise<ContainerUser> {
    const fd = this.#sys.openat2(AT_FDCWD, `/proc/${pid}/root`, { flags: O_PATH | O_DIRECTORY | O_CLOEXEC });
    try {
      return await this.#look({ fd, pid, local: this.#isLocal(pid, fd) }, spec, groupAdd);
    } finally {
      this.#sys.close(fd);
    }
  }

  async #look(root: Root, spec: string, groupAdd: readonly string[]): Promise<ContainerUser> {
    using opened = new DisposableStack();
    const passwd = await this.#open(root, "etc/passwd", opened);
    const group = await this.#open(root, "etc/group", opened);
    const key = JSON.stringify([passwd?.identity, group?.identity, spec, groupAdd]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const user = await lookupUser(spec, { passwd, group }, groupAdd);
    const now = BigInt(Date.now()) * 1_000_000n;
    const settled = (file: UserFile | undefined): boolean => file === undefined || now - file.ctimeNs > settledNs;
    if (settled(passwd) && settled(group)) this.#keep(key, user);
    return user;
  }

  /**
   * undefined when there is no regular file: images without users are common. Other kinds of files are not opened, because opening a device
   * could start something.
   */
  async #open(root: Root, path: string, opened: DisposableStack): Promise<UserFile | undefined> {
    const sys = this.#sys;
    const entry = this.#entry(root, path);
    if (entry === "nothing") return undefined;
    if (entry === "elsewhere") return this.#read(root, path);
    try {
      const stat = sys.fstatat(entry, "", AT_EMPTY_PATH);
      if ((stat.mode & S_IFMT) !== S_IFREG) return undefined;
      checkSize(path, stat.size);
      const fd = openForReading(sys, entry);
      opened.defer(() => sys.close(fd));
      const { dev, ino, size, mtimeNs, ctimeNs } = stat;
      return {
        identity: [dev, ino, size, mtimeNs, ctimeNs].join(":"),
        ctimeNs,
        lines: (visit) => visitLines(partsOf(sys, fd), visit),
      };
    } finally {
      sys.close(entry);
    }
  }

  /** An O_PATH descriptor; "elsewhere" when the answer would have to come from a file system that may never answer. */
  #entry({ fd, pid, local }: Root, path: string): number | "nothing" | "elsewhere" {
    if (!local) return "elsewhere";
    const open = (further: number): number =>
      this.#sys.openat2(fd, path, {
        flags: O_PATH | O_CLOEXEC,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | further,
      });
    try {
      return open(pid === undefined ? 0 : RESOLVE_NO_XDEV);
    } catch (error) {
      if (pid === undefined || !isSysError(error, "EXDEV")) return "nothing";
    }
    // The file is mounted there, mostly from this machine's own disk.
    let entry: number | undefined;
    try {
      entry = open(RESOLVE_CACHED);
      if (this.#isLocal(pid, entry)) return entry;
    } catch {
      // Not in memory, or a kernel before 5.12.
    }
    if (entry !== undefined) this.#sys.close(entry);
    return "elsewhere";
  }

  #isLocal(pid: number, fd: number): boolean {
    return this.#files.isLocal(pid, this.#sys.fstatat(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC).mountId);
  }

  async #read({ fd, pid }: Root, path: string): Promise<UserFile | undefined> {
    const read = (): TreeReading =>
      this.#files.readTree({
        root: ".",
        base: fd,
        path,
        wants: "file",
        what: `/${path} of the container`,
        key: `users of ${pid}`,
      });
    let entry: ReadEntry | undefined;
    try {
      using reading = read();
      entry = await reading.next();
    } catch (error) {
      if (isSysError(error)) return undefined;
      throw error;
    }
    if (entry === undefined || (entry.mode & S_IFMT) !== S_IFREG) return undefined;
    const { identity, size, mtimeNs, ctimeNs } = entry;
    checkSize(path, size);
    return {
      identity: [identity, size, mtimeNs, ctimeNs].join(":"),
      ctimeNs,
      lines: async (visit) => {
        using reading = read();
        if ((await reading.next()) !== undefined) await visitLines(reading.content(), visit);
      },
    };
  }

  #keep(key: string, user: ContainerUser): void {
    if (this.#known.size >= largestCache) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(key, user);
  }
}

function checkSize(path: string, size: bigint): void {
  if (size > BigInt(largestFileBytes))
    throw new EngineError(
      "resource-exhausted",
      `the image's /${path} has ${size} bytes, more than ${largestFileBytes}`,
    );
}

async function* partsOf(sys: Sys, fd: number): AsyncGenerator<Uint8Array> {
  const part = Buffer.alloc(partBytes);
  for (let offset = 0; offset < largestFileBytes;) {
    const count = sys.pread(fd, part, BigInt(offset));
    if (count <= 0) return;
    offset += count;
    yield part.subarray(0, count);
    if (count === partBytes) await new Promise((resolve) => setImmediate(resolve));
  }
}

async function visitLines(parts: AsyncIterable<Uint8Array>, visit: (line: string) => boolean): Promise<void> {
  /** The beginning of a line whose end has not been read yet; undefined in the middle of a line that is too long. */
  let rest: Buffer | undefined = Buffer.alloc(0);
  for await (const part of parts) {
    const read: Buffer = Buffer.from(part.buffer, part.byteOffset, part.length);
    const firstEnd = read.indexOf(0x0a);
    if (firstEnd < 0) {
      rest =
        rest === undefined || rest.length + read.length > longestLineBytes ? undefined : Buffer.concat([rest, read]);
    } else {
      const lastEnd = read.lastIndexOf(0x0a);
      const first = rest === undefined ? [] : [Buffer.concat([rest, read.subarray(0, firstEnd)]).toString()];
      const further = firstEnd === lastEnd ? [] : read.toString("utf8", firstEnd + 1, lastEnd).split("\n");
      if ([...first, ...further].some(visit)) return;
      rest = Buffer.from(read.subarray(lastEnd + 1));
    }
  }
  if (rest !== undefined && rest.length > 0) visit(rest.toString());
}
