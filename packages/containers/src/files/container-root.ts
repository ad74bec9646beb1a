/**
 * The file system of a container, for reading. Of a running container: as its first process sees it. Of any other: its layers and, below a
 * mount's destination, the mount's source. The kernel resolves paths inside the root (openat2 RESOLVE_IN_ROOT, in the process that
 * `HostFiles.readTree` starts), so a symlink of the container never leads outside.
 */
import { readFileSync } from "node:fs";
import { EngineError, isErrno } from "@fathom/base";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, type Sys, type TreeRequest } from "@fathom/sys";
import type { Container, RunningProcess } from "../container.ts";
import type { ContainersContext } from "../context.ts";

/** The place of a container's path: in `base`, or in a directory of the host. Disposing closes `base`. */
export interface ContainerRoot extends Pick<TreeRequest, "root" | "base" | "path">, Disposable {}

function inBase(sys: Sys, base: number, path: string): ContainerRoot {
  return { root: ".", base, path, [Symbol.dispose]: () => sys.close(base) };
}

/** This function opens no file of the container and no source of a mount, because their servers may not answer. */
export function openRoot(engine: ContainersContext, container: Container, path: string): ContainerRoot {
  const { sys } = engine;
  const { process } = container;
  const running = process === undefined ? undefined : openProcessRoot(sys, process);
  if (running !== undefined) return inBase(sys, running, relative(path));
  const mounts = container.record.mounts.filter(
    (mount) => mount.source !== "" && (path === mount.destination || path.startsWith(`${mount.destination}/`)),
  );
  const deepest = mounts.sort((a, b) => b.destination.length - a.destination.length)[0];
  if (deepest !== undefined && path !== deepest.destination) {
    const image = deepest.image === undefined ? undefined : engine.store.snapshots.get(deepest.image.layer);
    const inside = relative(
      `${deepest.subpath === "" ? "" : `/${deepest.subpath}`}${path.slice(deepest.destination.length)}`,
    );
    if (image !== undefined) return inBase(sys, sys.openOverlay(image.mount), inside);
    return { root: deepest.source, path: inside, [Symbol.dispose]: () => undefined };
  }
  const layer = engine.store.snapshots.get(container.id);
  if (layer === undefined) throw new EngineError("not-found", `the layer of container ${container.id} is missing`);
  return inBase(sys, sys.openOverlay(layer.mount), relative(path));
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
