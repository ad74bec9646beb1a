/** Sources of mounts at start: `-v` makes a missing directory, `--mount` does not; a subpath must be there, inside its volume. */
import { mkdirSync, realpathSync, statSync } from "node:fs";
import { EngineError, messageOf } from "@fathom/base";
import {
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  type Sys,
} from "@fathom/sys";
import { mountAbove } from "@fathom/runtime";
import type { MountPoint } from "./contract.ts";

/** @throws invalid-argument "… bind source path does not exist: …", "cannot access path …", "path concatenation escapes the base directory …" */
export function prepareMountSources(sys: Sys, mounts: readonly MountPoint[]): void {
  for (const mount of mounts) {
    if (mount.subpath !== "") checkSubpath(sys, mount.source, mount.subpath);
    if (mount.type !== "bind" || statSync(mount.source, { throwIfNoEntry: false }) !== undefined) continue;
    if (!mount.createSource)
      throw new EngineError(
        "invalid-argument",
        `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`,
      );
    mkdirSync(mount.source, { recursive: true, mode: 0o755 });
  }
}

/** For a clear error: the launch resolves it again, in the same way. */
function checkSubpath(sys: Sys, source: string, subpath: string): void {
  const base = sys.open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    sys.close(
      sys.openat2(base, subpath, {
        flags: O_PATH | O_CLOEXEC,
        resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
      }),
    );
  } catch (error) {
    if (isSysError(error, "EXDEV"))
      throw new EngineError(
        "invalid-argument",
        `path concatenation escapes the base directory, base: ${source}, subpath: ${subpath}`,
        { cause: error },
      );
    const reason = isSysError(error, "ENOENT") ? "no such file or directory" : messageOf(error);
    throw new EngineError("invalid-argument", `cannot access path ${source}/${subpath}: ${reason}`, { cause: error });
  } finally {
    sys.close(base);
  }
}

/**
 * Mounts that shall propagate need a source that does: without it they would be made and never pass anything on.
 * @throws internal in dockerd's words
 */
export function checkPropagation(mounts: readonly MountPoint[], dataRoot: string, mountInfo?: string): void {
  for (const { type, source, propagation } of mounts) {
    const shared = propagation === "shared" || propagation === "rshared";
    const slave = propagation === "slave" || propagation === "rslave";
    if (type !== "bind" || (!shared && !slave)) continue;
    const above = mountAbove(realpathSync(source), mountInfo);
    const refuse = (kind: string): never => {
      throw new EngineError("internal", `path ${source} is mounted on ${above.point} but it is not a ${kind} mount`);
    };
    if (shared && !above.shared) refuse("shared");
    // As with dockerd, the engine's own directory may be asked for as a slave; it is then private.
    const own = source.startsWith(dataRoot) || dataRoot.startsWith(source);
    if (slave && !above.shared && !above.slave && !own) refuse("shared or slave");
  }
}
