/** A path below a root, with its symlinks followed inside that root. Only files of this machine that no running process changes. */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import {
  isSysError,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_IN_ROOT,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  type Stat,
  type Sys,
} from "@fathom/sys";

export interface PlaceInRoot {
  /** The part that exists, without symlinks; "" is the root itself. */
  readonly existing: string;
  /** What `existing` is. */
  readonly stat: Stat;
  /** The part that does not exist. */
  readonly rest: readonly string[];
}

const mostLinks = 40;

export function isDirectoryStat({ mode }: Stat): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

/** undefined when it does not exist. A symlink is not followed. */
export function statIn(sys: Sys, rootFd: number, path: string): Stat | undefined {
  let fd: number;
  try {
    fd = sys.openat2(rootFd, path === "" ? "." : path, {
      flags: O_PATH | O_NOFOLLOW | O_CLOEXEC,
      resolve: RESOLVE_IN_ROOT,
    });
  } catch (error) {
    if (isSysError(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  try {
    return sys.fstat(fd);
  } finally {
    sys.close(fd);
  }
}

/** @throws EngineError invalid-argument for too many symlinks, and for a path through a file */
export function placeInRoot(sys: Sys, rootFd: number, path: string): PlaceInRoot {
  const open = posix
    .join("/", path)
    .split("/")
    .filter((part) => part !== "");
  const done: string[] = [];
  let stat = statIn(sys, rootFd, "")!;
  for (let links = 0; open.length > 0;) {
    const part = open.shift()!;
    if (part === ".") continue;
    if (part === "..") {
      done.pop();
      stat = statIn(sys, rootFd, done.join("/"))!;
      continue;
    }
    if (!isDirectoryStat(stat))
      throw new EngineError("invalid-argument", `${path}: /${done.join("/")} is not a directory`);
    const here = [...done, part].join("/");
    const found = statIn(sys, rootFd, here);
    if (found === undefined)
      return { existing: done.join("/"), stat, rest: [part, ...open.filter((one) => one !== ".")] };
    if ((found.mode & S_IFMT) !== S_IFLNK) {
      done.push(part);
      stat = found;
      continue;
    }
    if (++links > mostLinks) throw new EngineError("invalid-argument", `${path}: too many levels of symbolic links`);
    const target = linkTarget(sys, rootFd, here);
    if (target.startsWith("/")) {
      done.length = 0;
      stat = statIn(sys, rootFd, "")!;
    }
    open.unshift(...target.split("/").filter((one) => one !== ""));
  }
  return { existing: done.join("/"), stat, rest: [] };
}

function linkTarget(sys: Sys, rootFd: number, path: string): string {
  const fd = sys.openat2(rootFd, path, { flags: O_PATH | O_NOFOLLOW | O_CLOEXEC, resolve: RESOLVE_IN_ROOT });
  try {
    return Buffer.from(sys.readlinkat(fd, "")).toString("utf8");
  } finally {
    sys.close(fd);
  }
}
