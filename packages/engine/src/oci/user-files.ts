/**
 * Reads /etc/passwd and /etc/group of a container's root, never of the host: a link in the image ends inside the image. The image decides
 * what is there, so it is read line by line, in parts between which others have their turn, no further than the line that matters, and
 * once: an answer is kept for as long as the files are the same.
 */
import { EngineError } from "@fathom/base";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFMT,
  S_IFREG,
  type Stat,
  type Sys,
} from "@fathom/sys";
import { openForReading } from "@fathom/store/tree";
import { lookupUser, type ContainerUser, type LineFile } from "./user.ts";

/** Far above any real one. */
const largestFileBytes = 16 << 20;
/** A longer line is none. Groups have long ones. */
const longestLineBytes = 1 << 20;
const partBytes = 64 << 10;
const largestCache = 256;
/** A file that has just been changed may be changed once more without another time. */
const settledNs = 2_000_000_000n;

interface OpenFile {
  readonly fd: number;
  readonly stat: Stat;
}

/** Users of roots, with the answers of before. */
export class UserLookup {
  readonly #sys: Sys;
  /** By identity of the files and what was asked; the oldest goes first. */
  readonly #known = new Map<string, ContainerUser>();

  constructor(sys: Sys) {
    this.#sys = sys;
  }

  /** @throws as `lookupUser`, resource-exhausted for a file above the limit */
  async inRoot(rootFd: number, spec: string, groupAdd: readonly string[]): Promise<ContainerUser> {
    const sys = this.#sys;
    const opened: OpenFile[] = [];
    const open = (path: string): OpenFile | undefined => {
      const file = openRegular(sys, rootFd, path);
      if (file !== undefined) opened.push(file);
      return file;
    };
    try {
      const passwd = open("etc/passwd");
      const group = open("etc/group");
      const key = JSON.stringify([identityOf(passwd), identityOf(group), spec, groupAdd]);
      const known = this.#known.get(key);
      if (known !== undefined) return known;
      const user = await lookupUser(spec, { passwd: linesOf(sys, passwd), group: linesOf(sys, group) }, groupAdd);
      const now = BigInt(Date.now()) * 1_000_000n;
      if (opened.every(({ stat }) => now - stat.ctimeNs > settledNs)) this.#keep(key, user);
      return user;
    } finally {
      for (const { fd } of opened) sys.close(fd);
    }
  }

  /** Of a running container, by its first process. */
  async ofProcess(pid: number, spec: string, groupAdd: readonly string[]): Promise<ContainerUser> {
    const root = this.#sys.openat2(AT_FDCWD, `/proc/${pid}/root`, { flags: O_PATH | O_DIRECTORY | O_CLOEXEC });
    try {
      return await this.inRoot(root, spec, groupAdd);
    } finally {
      this.#sys.close(root);
    }
  }

  #keep(key: string, user: ContainerUser): void {
    if (this.#known.size >= largestCache) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(key, user);
  }
}

function identityOf(file: OpenFile | undefined): string {
  if (file === undefined) return "";
  const { dev, ino, size, mtimeNs, ctimeNs } = file.stat;
  return [dev, ino, size, mtimeNs, ctimeNs].join(":");
}

/** undefined where there is no regular file: images without users are common. What is no file is not opened: a device could start something. */
function openRegular(sys: Sys, rootFd: number, path: string): OpenFile | undefined {
  let entry: number;
  try {
    entry = sys.openat2(rootFd, path, {
      flags: O_PATH | O_CLOEXEC,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    });
  } catch {
    return undefined;
  }
  let fd: number | undefined;
  try {
    const stat = sys.fstatat(entry, "", AT_EMPTY_PATH);
    if ((stat.mode & S_IFMT) !== S_IFREG) return undefined;
    if (stat.size > BigInt(largestFileBytes))
      throw new EngineError(
        "resource-exhausted",
        `the image's /${path} has ${stat.size} bytes, more than ${largestFileBytes}`,
      );
    fd = openForReading(sys, entry);
    return { fd, stat };
  } finally {
    sys.close(entry);
  }
}

function linesOf(sys: Sys, file: OpenFile | undefined): LineFile | undefined {
  return file === undefined ? undefined : { lines: (visit) => visitLines(sys, file.fd, visit) };
}

async function visitLines(sys: Sys, fd: number, visit: (line: string) => boolean): Promise<void> {
  const part = Buffer.alloc(partBytes);
  /** The beginning of a line whose end has not been read; undefined in the middle of one that is too long. */
  let rest: Buffer | undefined = Buffer.alloc(0);
  for (let offset = 0; offset < largestFileBytes;) {
    const count = sys.pread(fd, part, BigInt(offset));
    if (count <= 0) break;
    offset += count;
    const read = part.subarray(0, count);
    const firstEnd = read.indexOf(0x0a);
    if (firstEnd < 0) {
      rest = rest === undefined || rest.length + count > longestLineBytes ? undefined : Buffer.concat([rest, read]);
    } else {
      const lastEnd = read.lastIndexOf(0x0a);
      const first = rest === undefined ? [] : [Buffer.concat([rest, read.subarray(0, firstEnd)]).toString()];
      const further = firstEnd === lastEnd ? [] : read.toString("utf8", firstEnd + 1, lastEnd).split("\n");
      if ([...first, ...further].some(visit)) return;
      rest = Buffer.from(read.subarray(lastEnd + 1));
    }
    if (count === partBytes) await new Promise((resolve) => setImmediate(resolve));
  }
  if (rest !== undefined && rest.length > 0) visit(rest.toString());
}
