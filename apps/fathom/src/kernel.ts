/** Which of the features that the engine needs this machine's kernel has. */
import { release } from "node:os";
import { findMountedHierarchies, judgeKernel, tryCgroupFeatures, type KernelReport } from "@fathom/runtime";
import { probeKernel, type Sys, helperExecutable } from "@fathom/sys";

export async function examineKernel(sys: Sys): Promise<KernelReport> {
  const tries = await probeKernel({ executable: () => helperExecutable(sys) });
  return judgeKernel(release(), new Map([...tries, ...cgroupTries(sys)]));
}

function cgroupTries(sys: Sys): ReadonlyMap<string, number> {
  let hierarchies: ReturnType<typeof findMountedHierarchies>;
  try {
    hierarchies = findMountedHierarchies();
  } catch {
    // None is mounted: the code that needs them reports that.
    return new Map();
  }
  return tryCgroupFeatures(hierarchies, sys);
}

/** The same for JSON: GET /debug, `fathom info`. */
export function kernelFacts({ release: Release, features }: KernelReport): object {
  return {
    Release,
    Features: features.map(({ feature: { name, call, purpose, since }, state }) => ({
      Name: name,
      Call: call,
      Purpose: purpose,
      Since: since,
      State: state.kind,
      ...("errno" in state ? { Error: state.errno } : {}),
      ...("fallback" in state ? { Fallback: state.fallback } : {}),
    })),
  };
}

/** "fchmodat2 (6.6)" for a feature with a fallback. */
export function fallbacks({ features }: KernelReport): string[] {
  return features.flatMap(({ feature, state }) =>
    state.kind === "falls-back" ? [`${feature.call} (${feature.since})`] : [],
  );
}
