/**
 * The file system of a container, for reading and writing. Of a running container: as its first process sees it. Of any other: its layers and, below a
 * mount's destination, the mount's source. The kernel resolves paths inside the root (openat2 RESOLVE_IN_ROOT, in the process that
 * `HostFiles.readTree` or `writeTree` starts), so a symlink of the container never leads outside.
 */
import { readFileSync } from "node:fs";
import { EngineError, isErrno } from "@fathom/base";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, type Sys, type TreeRequest } from "@fathom/sys";
import type { Container, RunningProcess } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import type { MountPoint } from "../record.ts";

/** The place of a container's path: in `base`, or in a directory of the host. Disposing closes `base`. */
export interface ContainerRoot extends Pick<TreeRequest, "root" | "base" | "path">, Disposable {}

function inBase(sys: Sys, base: number, path: string): ContainerRoot {
  return { root: ".", base, path, [Symbol.dispose]: () => sys.close(base) };
}

/** This function opens no file of the container and no source of a mount, because their servers may not answer. */
export function openRoot(engine: ContainersContext, container: Container, path: string): ContainerRoot {
  const running = rootOfProcess(engine.sys, container);
  if (running !== undefined) return inBase(engine.sys, running, relative(path));
  const mount = deepestMount(container, path);
  return mount !== undefined && path !== mount.destination
    ? inMount(engine, mount, path)
    : inLayer(engine, container, path);
}

/** Where files are written: a destination at which something is mounted is the mount's source. */
export interface WritableRoot extends ContainerRoot {
  readonly running: boolean;
  /** The mount of a container that does not run, when the destination is in one. */
  readonly mount: MountPoint | undefined;
}

export function openRootToWrite(engine: ContainersContext, container: Container, path: string): WritableRoot {
  const process = rootOfProcess(engine.sys, container);
  if (process !== undefined) return { ...inBase(engine.sys, process, relative(path)), running: true, mount: undefined };
  const mount = deepestMount(container, path);
  const root = mount === undefined ? inLayer(engine, container, path) : inMount(engine, mount, path);
  return { ...root, running: false, mount };
}

function rootOfProcess(sys: Sys, { process }: Container): number | undefined {
  return process === undefined ? undefined : openProcessRoot(sys, process);
}

function deepestMount({ record }: Container, path: string): MountPoint | undefined {
  return record.mounts
    .filter(
      ({ source, destination }) =>
        source !== "" && (path === destination || path.startsWith(destination === "/" ? "/" : `${destination}/`)),
    )
    .toSorted((a, b) => b.destination.length - a.destination.length)[0];
}

function inMount(engine: ContainersContext, mount: MountPoint, path: string): ContainerRoot {
  const image = mount.image === undefined ? undefined : engine.store.snapshots.get(mount.image.layer);
  const inside = relative(`${mount.subpath === "" ? "" : `/${mount.subpath}`}${path.slice(mount.destination.length)}`);
  if (image !== undefined) return inBase(engine.sys, engine.sys.openOverlay(image.mount), inside);
  return { root: mount.source, path: inside, [Symbol.dispose]: () => undefined };
}

function inLayer(engine: ContainersContext, container: Container, path: string): ContainerRoot {
  const layer = engine.store.snapshots.get(container.id);
  if (layer === undefined) throw new EngineError("not-found", `the layer of container ${container.id} is missing`);
  return inBase(engine.sys, engine.sys.openOverlay(layer.mount), relative(path));
}

function relative(path: string): string {
  const inside = path.replace(/^\/+/, "");
  return inside === "" ? "." : inside;
}

/**
 * The root of its first process; undefined when that process has ended, also when another process has its number now. O_PATH: the file system
 * of the root is not asked.
 */
function openProcessRoot(sys: Sys, { supervisor, cgroup }: RunningProcess): number | undefined {
  try {
    const directory = sys.open(`/proc/${supervisor.pid}`, O_PATH | O_DIRECTORY | O_CLOEXEC);
    try {
      // This descriptor belongs to one process, not to a number.
      if (!readFileSync(`/proc/self/fd/${directory}/cgroup`, "utf8").includes(cgroup.path)) return undefined;
      return sys.openat2(directory, "root", { flags: O_PATH | O_DIRECTORY | O_CLOEXEC });
    } finally {
      sys.close(directory);
    }
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
