/**
 * The file system of a container, opened for reading: of a running one as its first process sees it, of another its layers and, below a
 * mount's destination, the mount's source. Paths are resolved inside the root by the kernel (openat2 RESOLVE_IN_ROOT); a symlink of the
 * container leads nowhere outside.
 */
import { readFileSync } from "node:fs";
import { EngineError } from "@fathom/base";
import {
  AT_EMPTY_PATH,
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFSOCK,
  type Stat,
  type Sys,
} from "@fathom/sys";
import type { Container, RunningProcess } from "./container.ts";
import type { EngineContext } from "./context.ts";

/** An open root. Disposing closes it. */
export class ContainerRoot implements Disposable {
  readonly #sys: Sys;
  readonly fd: number;

  constructor(sys: Sys, fd: number) {
    this.#sys = sys;
    this.fd = fd;
  }

  /** A descriptor of what `path` names; a last symlink is not followed when `flags` has O_NOFOLLOW. */
  open(path: string, flags: number): number {
    return this.#sys.openat2(this.fd, relative(path), {
      flags: flags | O_CLOEXEC,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    });
  }

  /** Of the thing itself, without following a last symlink. */
  stat(path: string): Stat {
    const fd = this.open(path, O_PATH | O_NOFOLLOW);
    try {
      return this.#sys.fstatat(fd, "", AT_EMPTY_PATH);
    } finally {
      this.#sys.close(fd);
    }
  }

  readlink(path: string): string {
    const fd = this.open(path, O_PATH | O_NOFOLLOW);
    try {
      return Buffer.from(this.#sys.readlinkat(fd, "")).toString("utf8");
    } finally {
      this.#sys.close(fd);
    }
  }

  [Symbol.dispose](): void {
    this.#sys.close(this.fd);
  }
}

function relative(path: string): string {
  const inside = path.replace(/^\/+/, "");
  return inside === "" ? "." : inside;
}

/** The root, and the path in it that `path` (of the container) is. */
export function openRoot(
  engine: EngineContext,
  container: Container,
  path: string,
): { root: ContainerRoot; path: string } {
  const { sys } = engine;
  const { process } = container;
  const running = process === undefined ? undefined : openProcessRoot(sys, process);
  if (running !== undefined) return { root: new ContainerRoot(sys, running), path };
  const mounts = container.record.mounts.filter(
    (mount) => mount.source !== "" && (path === mount.destination || path.startsWith(`${mount.destination}/`)),
  );
  const deepest = mounts.sort((a, b) => b.destination.length - a.destination.length)[0];
  if (deepest !== undefined && path !== deepest.destination) {
    const image = deepest.image === undefined ? undefined : engine.store.containers.get(deepest.image.layer);
    const fd =
      image === undefined ? sys.open(deepest.source, O_PATH | O_DIRECTORY | O_CLOEXEC) : sys.openOverlay(image.mount);
    return {
      root: new ContainerRoot(sys, fd),
      path: `${deepest.subpath === "" ? "" : `/${deepest.subpath}`}${path.slice(deepest.destination.length)}`,
    };
  }
  const layer = engine.store.containers.get(container.id);
  if (layer === undefined) throw new EngineError("not-found", `the layer of container ${container.id} is missing`);
  return { root: new ContainerRoot(sys, sys.openOverlay(layer.mount)), path };
}

/** The root that its first process sees; undefined when that has ended, also when another process has its number by now. */
function openProcessRoot(sys: Sys, { supervisor, cgroup }: RunningProcess): number | undefined {
  try {
    const directory = sys.open(`/proc/${supervisor.pid}`, O_PATH | O_DIRECTORY | O_CLOEXEC);
    try {
      // This descriptor means one process, not a number.
      if (!readFileSync(`/proc/self/fd/${directory}/cgroup`, "utf8").includes(cgroup.path)) return undefined;
      return sys.openat2(directory, "root", { flags: O_PATH | O_DIRECTORY | O_CLOEXEC });
    } finally {
      sys.close(directory);
    }
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (isSysError(error, "ENOENT", "ESRCH") || code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

/** @throws not-found "Could not find the file X in container Y" */
export function couldNotFind(error: unknown, path: string, nameOrId: string): unknown {
  if (isSysError(error, "ENOENT", "ENOTDIR", "ELOOP"))
    return new EngineError("not-found", `Could not find the file ${path} in container ${nameOrId}`, { cause: error });
  return error;
}

/** Go's os.FileMode of st_mode. */
export function goFileMode(mode: number): number {
  let result = mode & 0o777;
  switch (mode & S_IFMT) {
    case S_IFDIR:
      result += 2 ** 31;
      break;
    case S_IFLNK:
      result += 2 ** 27;
      break;
    case S_IFBLK:
      result += 2 ** 26;
      break;
    case S_IFIFO:
      result += 2 ** 25;
      break;
    case S_IFSOCK:
      result += 2 ** 24;
      break;
    case S_IFCHR:
      result += 2 ** 26 + 2 ** 21;
      break;
  }
  if ((mode & 0o4000) !== 0) result += 2 ** 23;
  if ((mode & 0o2000) !== 0) result += 2 ** 22;
  if ((mode & 0o1000) !== 0) result += 2 ** 20;
  return result;
}
