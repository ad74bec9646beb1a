/** A step that writes files without a command: from the cache, or into a snapshot that becomes a layer. */
import { randomId } from "@fathom/base";
import type { StageState, StepResult } from "./stage-state.ts";

/** @param write Receives the root of the snapshot as a descriptor. */
export async function layerStep(
  state: StageState,
  key: string,
  createdBy: string,
  write: (rootFd: number) => Promise<void>,
): Promise<StepResult> {
  const { build } = state;
  const { store, sys } = build.parts;
  const known = build.request.noCache ? undefined : build.cache.find(key, build.lease);
  if (known !== undefined) {
    await state.emit({ kind: "cached" });
    return { key, top: known.top, createdAt: known.createdAt, createdBy };
  }
  const id = `build-${randomId().slice(0, 32)}`;
  const snapshot = store.snapshots.prepare(id, state.top, "build");
  try {
    const rootFd = sys.openOverlay(snapshot.mount);
    try {
      await write(rootFd);
    } finally {
      sys.close(rootFd);
    }
    build.signal.throwIfAborted();
    const layer = await store.snapshots.commit(id, { lease: build.lease });
    const { createdAt } = build.cache.put(key, layer.chainId, createdBy, layer.size);
    return { key, top: layer.chainId, createdAt, createdBy };
  } finally {
    await store.snapshots.remove(id);
  }
}
