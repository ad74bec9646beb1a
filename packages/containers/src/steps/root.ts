/** A container's root: its layers, mounted over each other, as a mount that has no place in the daemon's tree. */
import { EngineError } from "@fathom/base";
import type { Snapshot } from "@fathom/store";
import type { ContainersContext } from "../context.ts";
import { Handed } from "../handed.ts";

export interface MountedRoot {
  readonly layer: Snapshot;
  /** Descriptor of the mount; a launch takes it. */
  readonly fd: Handed<number>;
}

/** @throws data-loss when the layer is missing */
export function mountRoot({ store, sys }: Pick<ContainersContext, "store" | "sys">, id: string): MountedRoot {
  const layer = store.snapshots.get(id);
  if (layer === undefined) throw new EngineError("data-loss", `the writable layer of container ${id} is missing`);
  return { layer, fd: new Handed(sys.openOverlay(layer.mount)) };
}

export function closeRoot({ sys }: Pick<ContainersContext, "sys">, { fd }: MountedRoot): void {
  if (!fd.taken) sys.close(fd.take());
}
