/** Sources of bind mounts at start: `-v` makes a missing one, `--mount` does not. */
import { mkdirSync, statSync } from "node:fs";
import { EngineError } from "@fathom/base";
import type { MountPoint } from "./contract.ts";

/** @throws invalid-argument "… bind source path does not exist: …" */
export function prepareMountSources(mounts: readonly MountPoint[]): void {
  for (const mount of mounts) {
    if (mount.type !== "bind" || statSync(mount.source, { throwIfNoEntry: false }) !== undefined) continue;
    if (!mount.createSource)
      throw new EngineError(
        "invalid-argument",
        `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`,
      );
    mkdirSync(mount.source, { recursive: true, mode: 0o755 });
  }
}
