/** First use of a volume: what the image has at the mount's destination goes into an empty volume. */
import {
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  type Sys,
} from "@fathom/sys";
import { messageOf, type Logger } from "@fathom/base";
import type { ContainerLayer } from "@fathom/store";
import type { MountPoint } from "./contract.ts";
import { copyTree } from "./copy-tree.ts";

/**
 * @throws when copying fails half-way; the volume then keeps what it got, as with Docker
 */
export function fillVolumes(sys: Sys, layer: ContainerLayer, mounts: readonly MountPoint[], logger: Logger): void {
  const candidates = mounts.filter((mount) => mount.type === "volume" && mount.copyData && mount.source !== "");
  if (candidates.length === 0) return;
  const root = sys.openOverlay(layer.mount);
  try {
    for (const mount of candidates) fillVolume(sys, root, mount, logger);
  } finally {
    sys.close(root);
  }
}

function fillVolume(sys: Sys, root: number, mount: MountPoint, logger: Logger): void {
  let from: number;
  try {
    from = sys.openat2(root, mount.destination.replace(/^\/+/, ""), {
      flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    });
  } catch (error) {
    // The image has nothing there, or no directory.
    if (isSysError(error, "ENOENT", "ENOTDIR", "ELOOP")) return;
    throw error;
  }
  try {
    const to = sys.open(mount.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    try {
      const names = sys.readDirectory(to).map((entry) => Buffer.from(entry.name).toString("latin1"));
      if (names.some((name) => name !== "." && name !== "..")) return;
      copyTree(sys, from, to);
    } finally {
      sys.close(to);
    }
  } catch (error) {
    logger.error("filling a volume failed", {
      error: messageOf(error),
      volume: mount.name,
      destination: mount.destination,
    });
    throw error;
  } finally {
    sys.close(from);
  }
}
