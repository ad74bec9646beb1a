/** Ends what is left of a container, and removes its cgroup, its hooks' work and its directory. */
import { isEngineError } from "@fathom/base";
import { isDead, conditionOfPlaced } from "@fathom/runtime";
import type { Call, Found } from "../call.ts";
import { removeDirectory } from "../state/directory.ts";
import { configOf } from "../state/record.ts";
import { runAllHooks, stateText } from "./hooks.ts";

/** The caller has its lock. When this fails, the directory is still there, and the next try continues. */
export async function removeContainer(call: Call, { directory, state, id }: Found): Promise<void> {
  const cgroup = call.cgroups.open(state.cgroup);
  await cgroup.kill();
  await endFirstProcess(state.process);
  try {
    await cgroup.remove();
  } catch (error) {
    // A process of a call that was killed a moment ago may have come into it meanwhile.
    if (!isEngineError(error, "conflict")) throw error;
    await cgroup.kill();
    await cgroup.remove();
  }
  const spec = configOf(state);
  const input = stateText(spec, { id, bundle: state.bundle, annotations: spec.annotations }, "stopped", 0);
  await runAllHooks(spec, "poststop", input, (problem) => call.log.write("warning", problem));
  removeDirectory(directory);
}

const endLimitMs = 5000;

/** It has been killed with its cgroup; it counts as running until its own processes and mounts are gone. */
async function endFirstProcess(process: Found["state"]["process"]): Promise<void> {
  const deadline = performance.now() + endLimitMs;
  while (process !== undefined && !isDead(conditionOfPlaced(process)) && performance.now() < deadline)
    await Bun.sleep(2);
}
