/** Sources of mounts at start: `-v` makes a missing directory, `--mount` does not. A subpath must exist inside its volume. */
import { isEngineError, messageOf } from "@fathom/base";
import { isSysError, type HostFiles } from "@fathom/sys";
import { mountAbove } from "@fathom/runtime";
import { ContainerProblem } from "../problem.ts";
import type { ContainerRecord, MountPoint } from "../record.ts";

/** Errors of the path, not of the machine: for example a path below a file, /proc or a read-only file system. */
const pathErrors = [
  "ENOTDIR",
  "ENAMETOOLONG",
  "ELOOP",
  "EROFS",
  "EEXIST",
  "ENOENT",
  "EPERM",
  "EACCES",
  "EINVAL",
] as const;

/**
 * Everything that a start checks before it mounts: sources, directories of devices, propagation. undefined when there is nothing to wait for.
 * @throws as `prepareMountSources` and `checkPropagation`
 */
export function prepareSources(
  files: HostFiles,
  { mounts, spec }: Pick<ContainerRecord, "mounts" | "spec">,
  dataRoot: string,
): Promise<void> | undefined {
  const { devicePaths } = spec;
  if (devicePaths.length === 0 && mounts.every(({ type, subpath }) => type !== "bind" && subpath === "")) return;
  return (async () => {
    await prepareMountSources(files, mounts);
    // Directories of devices are read in the runtime's few threads, so paths on a server that does not answer must not get there.
    for (const path of devicePaths) await files.kindOf(path);
    await checkPropagation(files, mounts, dataRoot);
  })();
}

/** @throws ContainerProblem when a source does not exist and is not made, or a subpath cannot be used */
async function prepareMountSources(files: HostFiles, mounts: readonly MountPoint[]): Promise<void> {
  for (const mount of mounts) {
    if (mount.subpath !== "") await checkSubpath(files, mount.source, mount.subpath);
    if (mount.type !== "bind" || (await files.kindOf(mount.source)) !== undefined) continue;
    if (!mount.createSource) throw new ContainerProblem({ kind: "no-mount-source", path: mount.source });
    try {
      await files.makeDirectory(mount.source);
    } catch (error) {
      if (!isSysError(error, ...pathErrors)) throw error;
      const reason = messageOf(error);
      throw new ContainerProblem({ kind: "mount-source-not-made", path: mount.source, reason }, { cause: error });
    }
  }
}

/** At create: host paths that nobody makes must exist. @throws as `prepareMountSources` */
export async function requireSources(files: Pick<HostFiles, "kindOf">, paths: readonly string[]): Promise<void> {
  for (const path of paths)
    if ((await files.kindOf(path)) === undefined) throw new ContainerProblem({ kind: "no-mount-source", path });
}

/** For a clear error. The launch resolves the path again in the same way. */
async function checkSubpath(files: HostFiles, source: string, subpath: string): Promise<void> {
  try {
    await files.checkBeneath(source, subpath);
  } catch (error) {
    if (isEngineError(error, "timeout")) throw error;
    if (isSysError(error, "EXDEV"))
      throw new ContainerProblem({ kind: "subpath-escapes", source, subpath }, { cause: error });
    const reason = isSysError(error, "ENOENT") ? undefined : messageOf(error);
    throw new ContainerProblem({ kind: "subpath-unusable", path: `${source}/${subpath}`, reason }, { cause: error });
  }
}

/**
 * Mounts that should propagate need a source that propagates; otherwise they would be made and never propagate anything.
 * @throws ContainerProblem "does-not-propagate"
 */
export async function checkPropagation(
  files: Pick<HostFiles, "realPath">,
  mounts: readonly MountPoint[],
  dataRoot: string,
  mountInfo?: string,
): Promise<void> {
  for (const { type, source, propagation } of mounts) {
    const shared = propagation === "shared" || propagation === "rshared";
    const slave = propagation === "slave" || propagation === "rslave";
    if (type !== "bind" || (!shared && !slave)) continue;
    const above = mountAbove(await files.realPath(source), mountInfo);
    const refuse = (needed: readonly ("shared" | "slave")[]): never => {
      throw new ContainerProblem({ kind: "does-not-propagate", source, mountPoint: above.point, needed });
    };
    if (shared && !above.shared) refuse(["shared"]);
    // As with dockerd, the engine's own directory may be requested as a slave; it is then private.
    const own = source.startsWith(dataRoot) || dataRoot.startsWith(source);
    if (slave && !above.shared && !above.slave && !own) refuse(["shared", "slave"]);
  }
}
