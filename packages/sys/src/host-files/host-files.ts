/**
 * Paths of the host that a user named, and mounts. They may be on a network file system or FUSE, whose server may never answer. A call there
 * blocks its thread. Once the server has the request, no signal can end it, and it even delays the end of its process. So fathom-init makes the
 * call in a process of its own (native/init/calls/one-call.c). The caller waits until a deadline and then gives up: that process ends when the server
 * answers, or when the file system is unmounted. When a path is on a local file system and in memory, the kernel is asked directly.
 */
import { rm } from "node:fs/promises";
import { constants as errnos } from "node:os";
import {
  AT_EMPTY_PATH,
  AT_STATX_DONT_SYNC,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_CACHED,
  S_IFDIR,
  S_IFMT,
} from "../constants.ts";
import { AT_FDCWD, type Stat, type Sys } from "../contract.ts";
import { SysError } from "../errors.ts";
import { isLocalMount, isLocalType, readMountInfo } from "../mounts/mount-info.ts";
import { measureTree, type TreeLimits } from "../tree/measure-tree.ts";
import { OneCalls } from "./one-calls.ts";
import { GivenUp } from "./tree-process.ts";
import { createTreeReader, type ReadTree } from "./tree-reader.ts";
import { createTreeWriter, type WriteTree } from "./tree-writer.ts";
import { detachMount } from "../mounts/detach-mount.ts";

export interface HostFiles {
  /** The kind of file that a path leads to; undefined when there is none. */
  kindOf(path: string): Promise<"directory" | "other" | undefined>;
  /** With its parents, mode 0755. It may exist already. */
  makeDirectory(path: string): Promise<void>;
  /** The path without symlinks. */
  realPath(path: string): Promise<string>;
  /** @throws SysError EXDEV when `subpath` leaves `base` */
  checkBeneath(base: string, subpath: string): Promise<void>;
  mount(source: string, target: string, type: string, flags: number, data: string): Promise<void>;
  /** Out of the way at once; the file system ends when nobody uses it any more. If nothing is mounted there, that is no error. */
  unmount(target: string): Promise<void>;
  /** Makes everything durable that was written to the file system below `path`. Waits as long as the disk needs. */
  sync(path: string): Promise<void>;
  /** Removes a file or a tree, but not the mounts in it (then EXDEV). If it does not exist, that is no error. It has no time limit. */
  remove(path: string): Promise<void>;
  /** Files and trees below a container's root or a volume. */
  readonly readTree: ReadTree;
  /** Into a directory there. */
  readonly writeTree: WriteTree;
  /** Whether a file system is mounted at this path itself (a path without symlinks). Never waits. */
  isMounted(path: string): boolean;
  /** Whether a call on this mount (one of those that a process sees) waits only for this machine's own disks. Never waits itself. */
  isLocal(pid: number, mountId: bigint): boolean;
}

/** All methods throw SysError, and when there was no answer EngineError `timeout`, which names the path. */
export function createHostFiles(options: HostFilesOptions): HostFiles {
  return new Calls(options);
}

export interface HostFilesOptions {
  readonly sys: Pick<Sys, "openat2" | "fstatat" | "close" | "umount" | "readDirectory">;
  /** fathom-init as a descriptor. */
  readonly executable: () => number;
  /** After this time without an answer, the server counts as not answering. */
  readonly answerMs?: number;
}

const defaultAnswerMs = 20_000;

class Calls implements HostFiles {
  readonly readTree: ReadTree;
  readonly writeTree: WriteTree;
  readonly #options: HostFilesOptions;
  readonly #calls: OneCalls;

  constructor(options: HostFilesOptions) {
    this.#options = options;
    const { executable, answerMs = defaultAnswerMs } = options;
    this.#calls = new OneCalls(executable, answerMs);
    const waiting = new GivenUp();
    this.readTree = createTreeReader({ executable, answerMs }, waiting);
    this.writeTree = createTreeWriter({ executable, answerMs }, waiting);
  }

  async kindOf(path: string): Promise<"directory" | "other" | undefined> {
    const known = this.#look(path);
    if (known !== undefined) return (known.mode & S_IFMT) === S_IFDIR ? "directory" : "other";
    const { error, text } = await this.#calls.answerTo(path, "stat", path);
    if (error === errnos.errno.ENOENT || error === errnos.errno.ENOTDIR) return undefined;
    check("stat", error, path);
    return text === "directory" ? "directory" : "other";
  }

  async makeDirectory(path: string): Promise<void> {
    check("mkdir", (await this.#calls.answerTo(path, "make-directories", path)).error, path);
  }

  async realPath(path: string): Promise<string> {
    const { error, text } = await this.#calls.answerTo(path, "real-path", path);
    check("realpath", error, path);
    return text;
  }

  async checkBeneath(base: string, subpath: string): Promise<void> {
    const path = `${base}/${subpath}`;
    check("openat2", (await this.#calls.answerTo(path, "beneath", base, subpath)).error, path);
  }

  async mount(source: string, target: string, type: string, flags: number, data: string): Promise<void> {
    const { error } = await this.#calls.answerTo(source, "mount", source, target, type, String(flags), data);
    check("mount", error, target);
  }

  async unmount(target: string): Promise<void> {
    const mounted = readMountInfo().findLast(({ point }) => point === target);
    if (mounted === undefined) return;
    if (isLocalType(mounted.type)) {
      detachMount(this.#options.sys, target);
      return;
    }
    const { error } = await this.#calls.answerTo(target, "unmount", target);
    if (error !== errnos.errno.EINVAL && error !== errnos.errno.ENOENT) check("umount", error, target);
  }

  async sync(path: string): Promise<void> {
    check("syncfs", (await this.#calls.answerWhenever("sync", path)).error, path);
  }

  async remove(path: string): Promise<void> {
    // Mostly it is a few files: another process would be more work than these.
    if (isSmallTree(this.#options.sys, path)) return rm(path, { recursive: true, force: true });
    check("rm", (await this.#calls.answerWhenever("remove", path)).error, path);
  }

  isMounted(path: string): boolean {
    return readMountInfo().some(({ point }) => point === path);
  }

  isLocal(pid: number, mountId: bigint): boolean {
    return isLocalMount(pid, mountId);
  }

  /** What the kernel has in memory about a path on a local file system. */
  #look(path: string): Stat | undefined {
    const { sys } = this.#options;
    let fd: number | undefined;
    try {
      fd = sys.openat2(AT_FDCWD, path, { flags: O_PATH | O_CLOEXEC, resolve: RESOLVE_CACHED });
      const stat = sys.fstatat(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC);
      return isLocalMount(process.pid, stat.mountId) ? stat : undefined;
    } catch {
      // Not in memory, not existing, or a kernel before 5.12: the helper checks.
      return undefined;
    } finally {
      if (fd !== undefined) sys.close(fd);
    }
  }
}

function check(call: string, error: number, path: string): void {
  if (error !== 0) throw new SysError(call, error, path);
}

/** With more entries, or more bytes to free, it would block one of the runtime's few threads for too long. */
const smallTree: TreeLimits = { entries: 48, bytes: 4n << 20n, depth: 8 };

function isSmallTree(sys: HostFilesOptions["sys"], path: string): boolean {
  try {
    const top = sys.openat2(AT_FDCWD, path, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC });
    try {
      return measureTree(sys, top, smallTree, bytesToFree) !== undefined;
    } finally {
      sys.close(top);
    }
  } catch {
    // A file, nothing, a mount: the helper reports the error.
    return false;
  }
}

function bytesToFree({ blocks }: Stat): bigint {
  return blocks * 512n;
}
