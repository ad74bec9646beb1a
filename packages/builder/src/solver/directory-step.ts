/** WORKDIR makes its directory when the files do not have it. */
import { directoryAt, openDestination } from "../files/write-into.ts";
import { layerStep } from "./layer-step.ts";
import type { StageState, StepResult } from "./stage-state.ts";
import { keyOf } from "./step-cache.ts";

/** undefined when it exists. @throws EngineError when a part of the path is a file */
export async function makeDirectoryStep(state: StageState, path: string): Promise<StepResult | undefined> {
  const { sys, files, store } = state.build.parts;
  const parts = { sys, files, signal: state.build.signal };
  const baseFd = store.snapshots.openChain(state.top);
  try {
    if (state.top !== undefined && directoryAt(parts, baseFd, path).made.length === 0) return undefined;
  } finally {
    sys.close(baseFd);
  }
  if (path === "/") return undefined;
  return layerStep(state, keyOf(state.key, "directory", path), `WORKDIR ${path}`, async (rootFd) => {
    const { writing } = await openDestination(parts, rootFd, directoryAt(parts, rootFd, path), { uid: 0, gid: 0 });
    using _ = writing;
    await writing.finish();
  });
}
