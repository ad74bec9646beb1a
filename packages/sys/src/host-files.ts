/**
 * Paths of the host that a user named, and mounts: what they lie on may be a network file system or FUSE, whose server may never answer. A call
 * there holds its thread, cannot be ended by a signal once the server has it, and delays even the end of its process. So it is made by
 * fathom-init in a process of its own (native/init/one-call.c), waited for with a deadline, and then given up: that process ends when the
 * server answers, or the file system is taken away. Where a path lies on a local file system and is in memory, the kernel is asked at once.
 */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { constants as errnos } from "node:os";
import { EngineError } from "@fathom/base";
import {
  AT_EMPTY_PATH,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  MNT_DETACH,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  UMOUNT_NOFOLLOW,
  RESOLVE_CACHED,
  RESOLVE_NO_XDEV,
} from "./constants.ts";
import { AT_FDCWD, type Stat, type Sys } from "./contract.ts";
import { SysError } from "./errors.ts";
import { createTreeReader, type ReadTree } from "./tree-reader.ts";

export interface HostFiles {
  /** What a path leads to; undefined when there is nothing. */
  kindOf(path: string): Promise<"directory" | "other" | undefined>;
  /** With those above it, mode 0755. It may be there already. */
  makeDirectory(path: string): Promise<void>;
  /** Without symlinks. */
  realPath(path: string): Promise<string>;
  /** @throws SysError EXDEV when `subpath` leaves `base` */
  checkBeneath(base: string, subpath: string): Promise<void>;
  mount(source: string, target: string, type: string, flags: number, data: string): Promise<void>;
  /** Out of the way at once; the file system ends when nobody uses it any more. Nothing mounted there is no error. */
  unmount(target: string): Promise<void>;
  /** Makes everything that was written to the file system below `path` durable. Waits as long as the disk needs. */
  sync(path: string): Promise<void>;
  /** A file or a tree, without what is mounted in it (EXDEV then). Nothing there is no error. Takes as long as it takes. */
  remove(path: string): Promise<void>;
  /** Files and trees below a container's root or a volume. */
  readonly readTree: ReadTree;
  /** Whether a file system is mounted at this path itself, which has no symlinks. Never waits. */
  isMounted(path: string): boolean;
  /** Whether a call on this mount, one of those that a process sees, waits for nothing but this machine's own disks. Never waits itself. */
  isLocal(pid: number, mountId: bigint): boolean;
}

/** All methods throw SysError, and EngineError `timeout`, which names the path, when there was no answer. */
export function createHostFiles(options: HostFilesOptions): HostFiles {
  return new Calls(options);
}

export interface HostFilesOptions {
  readonly sys: Pick<Sys, "openat2" | "fstatat" | "close" | "umount" | "readDirectory">;
  /** fathom-init as a descriptor. */
  readonly executable: () => number;
  /** A server that has not answered by then is taken to be away. */
  readonly answerMs?: number;
}

const defaultAnswerMs = 20_000;
/** How often it is looked whether a process that makes a call is stopped, and how often it must be: what takes as long as it takes has no other end. */
const stoppedLookMs = 500;
const stoppedLooks = 3;

/** File systems whose calls wait for nothing but this machine's own disks. */
const localTypes = new Set(
  (
    "ext2 ext3 ext4 xfs btrfs f2fs bcachefs zfs vfat exfat iso9660 udf squashfs erofs tmpfs ramfs rootfs overlay proc sysfs devtmpfs " +
    "devpts cgroup cgroup2 securityfs debugfs tracefs bpf mqueue hugetlbfs configfs pstore efivarfs nsfs"
  ).split(" "),
);

class Calls implements HostFiles {
  readonly readTree: ReadTree;
  readonly #options: HostFilesOptions;
  /** Calls under way: who asks the same while there is no answer waits for that one. */
  readonly #underWay = new Map<string, Call>();

  constructor(options: HostFilesOptions) {
    this.#options = options;
    const { executable, answerMs = defaultAnswerMs } = options;
    this.readTree = createTreeReader({ executable, answerMs });
  }

  async kindOf(path: string): Promise<"directory" | "other" | undefined> {
    const known = this.#look(path);
    if (known !== undefined) return (known.mode & 0o170000) === 0o040000 ? "directory" : "other";
    const { error, text } = await this.#answerTo(path, "stat", path);
    if (error === errnos.errno.ENOENT || error === errnos.errno.ENOTDIR) return undefined;
    check("stat", error, path);
    return text === "directory" ? "directory" : "other";
  }

  async makeDirectory(path: string): Promise<void> {
    check("mkdir", (await this.#answerTo(path, "make-directories", path)).error, path);
  }

  async realPath(path: string): Promise<string> {
    const { error, text } = await this.#answerTo(path, "real-path", path);
    check("realpath", error, path);
    return text;
  }

  async checkBeneath(base: string, subpath: string): Promise<void> {
    const path = `${base}/${subpath}`;
    check("openat2", (await this.#answerTo(path, "beneath", base, subpath)).error, path);
  }

  async mount(source: string, target: string, type: string, flags: number, data: string): Promise<void> {
    const { error } = await this.#answerTo(source, "mount", source, target, type, String(flags), data);
    check("mount", error, target);
  }

  async unmount(target: string): Promise<void> {
    const mounted = mounts().findLast(({ point }) => point === target);
    if (mounted === undefined) return;
    if (localTypes.has(mounted.type)) {
      this.#options.sys.umount(target, MNT_DETACH | UMOUNT_NOFOLLOW);
      return;
    }
    const { error } = await this.#answerTo(target, "unmount", target);
    if (error !== errnos.errno.EINVAL && error !== errnos.errno.ENOENT) check("umount", error, target);
  }

  async sync(path: string): Promise<void> {
    check("syncfs", (await this.#call("sync", [path]).answer).error, path);
  }

  async remove(path: string): Promise<void> {
    // Most are a few files: another process would be more work than these.
    if (isSmallTree(this.#options.sys, path)) return rm(path, { recursive: true, force: true });
    check("rm", (await this.#call("remove", [path]).answer).error, path);
  }

  isMounted(path: string): boolean {
    return mounts().some(({ point }) => point === path);
  }

  isLocal(pid: number, mountId: bigint): boolean {
    const lines = `\n${readFileSync(`/proc/${pid}/mountinfo`, "utf8")}`;
    const at = lines.indexOf(`\n${mountId} `);
    const type = at < 0 ? undefined : / - (\S+)/.exec(lines.slice(at + 1, lines.indexOf("\n", at + 1)))?.[1];
    return type !== undefined && localTypes.has(type);
  }

  /** What the kernel has in memory of a path on a local file system. */
  #look(path: string): Stat | undefined {
    const { sys } = this.#options;
    let fd: number | undefined;
    try {
      fd = sys.openat2(AT_FDCWD, path, { flags: O_PATH | O_CLOEXEC, resolve: RESOLVE_CACHED });
      const stat = sys.fstatat(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC);
      return this.isLocal(process.pid, stat.mountId) ? stat : undefined;
    } catch {
      // Not in memory, not there, or a kernel before 5.12: the helper looks.
      return undefined;
    } finally {
      if (fd !== undefined) sys.close(fd);
    }
  }

  async #answerTo(path: string, name: string, ...values: string[]): Promise<Answer> {
    const answerMs = this.#options.answerMs ?? defaultAnswerMs;
    const call = this.#call(name, values);
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      call.giveUp();
      reject(noAnswer(path, name, answerMs));
    }, answerMs);
    try {
      return await Promise.race([call.answer, promise]);
    } catch (error) {
      throw call.givenUp ? noAnswer(path, name, answerMs) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #call(name: string, values: readonly string[]): Call {
    const odd = values.find((value) => value.includes("\0"));
    if (odd !== undefined)
      throw new EngineError("invalid-argument", `invalid path ${JSON.stringify(odd)}: it has a zero byte`);
    const key = JSON.stringify([name, ...values]);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const child = Bun.spawn([`/proc/${process.pid}/fd/${this.#options.executable()}`, "call", name], {
      argv0: "fathom-init",
      cwd: "/",
      env: {},
      // No arguments: everybody can see those, and a mount's options may have a password.
      stdin: Buffer.from(values.map((value) => `${value}\0`).join("")),
      stdout: "pipe",
      stderr: "ignore",
    });
    // Given up, it must not hold the end of the daemon.
    child.unref();
    const call: Call = {
      givenUp: false,
      answer: readAnswer(child, `${name} ${values[0]}`).finally(() => this.#underWay.delete(key)),
      // Where the server has the request already, it ends only with the answer.
      giveUp: () => {
        call.givenUp = true;
        child.kill("SIGKILL");
      },
    };
    this.#underWay.set(key, call);
    return call;
  }
}

interface Call {
  readonly answer: Promise<Answer>;
  giveUp(): void;
  givenUp: boolean;
}

async function readAnswer(child: Bun.Subprocess<Buffer, "pipe", "ignore">, what: string): Promise<Answer> {
  let stopped = 0;
  const looks = setInterval(() => {
    stopped = isStopped(child.pid) ? stopped + 1 : 0;
    if (stopped === stoppedLooks) child.kill("SIGKILL");
  }, stoppedLookMs);
  looks.unref();
  const [text, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  clearInterval(looks);
  const match = /^(\d+) ([^]*)\n$/.exec(text);
  if (match === null && stopped >= stoppedLooks)
    throw new EngineError(
      "unavailable",
      `the process that should ${what} was stopped, by a signal or a debugger, and has been ended: try again`,
    );
  if (match === null)
    throw new EngineError("internal", `the process that should ${what} ended with ${code} and no answer`);
  return { error: Number(match[1]), text: match[2]! };
}

/** proc(5), the third field. False where it cannot be seen. */
function isStopped(pid: number): boolean {
  try {
    return /\) [Tt] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

function noAnswer(path: string, name: string, answerMs: number): EngineError {
  return new EngineError(
    "timeout",
    `${path} does not answer: ${name} took longer than ${answerMs / 1000} s. The server of its file system seems to be away: try again when it is back, or unmount it (umount -l)`,
  );
}

interface Answer {
  readonly error: number;
  readonly text: string;
}

function check(call: string, error: number, path: string): void {
  if (error !== 0) throw new SysError(call, error, path);
}

/** More than that, or more to free, holds one of the runtime's few threads for too long. */
const smallTree = { entries: 48, bytes: 4n << 20n, depth: 8 };
const DT_DIR = 4;
const treeFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

type TreeSys = Pick<Sys, "openat2" | "fstatat" | "close" | "readDirectory">;

function isSmallTree(sys: TreeSys, path: string): boolean {
  try {
    return isSmall(sys, AT_FDCWD, path, smallTree.depth, { entries: smallTree.entries, bytes: smallTree.bytes });
  } catch {
    // A file, nothing, a mount: the helper says what is wrong.
    return false;
  }
}

function isSmall(
  sys: TreeSys,
  above: number,
  path: string | Uint8Array,
  depth: number,
  left: { entries: number; bytes: bigint },
): boolean {
  const directory = sys.openat2(above, path, {
    flags: treeFlags,
    resolve: above === AT_FDCWD ? 0 : RESOLVE_NO_XDEV,
  });
  try {
    const entries = sys.readDirectory(directory, left.entries + 1);
    left.entries -= entries.length;
    if (left.entries < 0) return false;
    for (const { name, type } of entries) {
      if (type === DT_DIR) {
        if (depth === 0 || !isSmall(sys, directory, name, depth - 1, left)) return false;
      } else {
        // Of a file that another file system is mounted on, its server is not asked.
        left.bytes -= sys.fstatat(directory, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC).blocks * 512n;
        if (left.bytes < 0n) return false;
      }
    }
    return true;
  } finally {
    sys.close(directory);
  }
}

interface Mounted {
  readonly point: string;
  readonly type: string;
}

/** proc_pid_mountinfo(5); later ones lie over earlier ones. */
function mounts(): Mounted[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const fields = line.split(" ");
      const point = fields[4]!.replace(/\\([0-7]{3})/g, (_whole, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      );
      return { point, type: fields[fields.indexOf("-") + 1]! };
    });
}
