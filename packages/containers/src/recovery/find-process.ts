/** What is left of a run, whether the row knows the run or not. */
import { statSync } from "node:fs";
import { EngineError, formatRfc3339Nano, messageOf, zeroTime, within } from "@fathom/base";
import type { ExitStatus, KnownRun, Supervisor } from "@fathom/runtime";
import type { Container } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import { containerPaths } from "../paths.ts";
import { readAdoptFile } from "../run-directory.ts";

export type Found =
  | { readonly kind: "idle" }
  | { readonly kind: "running"; readonly supervisor: Supervisor }
  | { readonly kind: "exited"; readonly exit: ExitStatus };

/** `Launcher.reconnect` promises less than this. */
const reconnectLimitMs = 3000;

/** Also for a container whose row has no process: the daemon may have died between the launch and the row. */
export async function findProcess(engine: ContainersContext, container: Container): Promise<Found> {
  const { state } = container.record;
  const active = state.status === "running" || state.status === "paused";
  const { run } = containerPaths(engine.config, container.id);
  if (statSync(run, { throwIfNoEntry: false }) !== undefined) {
    const result = await askForRun(engine, container, active);
    if (result.kind === "running") return result;
    // When the end is already in the row, only the directory is left.
    if (result.kind === "exited")
      return active ||
        (result.exit.finishedAt !== state.finishedAt && readAdoptFile(engine.config, container.id) !== undefined)
        ? result
        : { kind: "idle" };
  }
  if (!active) return { kind: "idle" };
  // The machine went down, or supervisor and status are lost: nobody can know what happened.
  return {
    kind: "exited",
    exit: {
      code: 255,
      signal: 0,
      finishedAt: formatRfc3339Nano(engine.clock.nowNs()),
      lost: "the container's end was not seen: the machine or its supervisor was stopped",
    },
  };
}

/** With a time limit. If nothing is found out about a run, that does not mean that it has ended. */
async function askForRun(
  engine: ContainersContext,
  container: Container,
  active: boolean,
): Promise<Found | { readonly kind: "gone" }> {
  const { state } = container.record;
  const { run } = containerPaths(engine.config, container.id);
  const adopt = readAdoptFile(engine.config, container.id);
  const identity = adopt?.identity;
  // The row and the file may belong to different runs: the daemon died between the launch and the row.
  const sameRun = active && (identity === undefined || identity.process.pid === state.pid);
  const known: KnownRun = {
    identity,
    pid: identity?.process.pid ?? (active ? state.pid : 0),
    startedAt: sameRun ? state.startedAt : (adopt?.launchedAt ?? zeroTime),
  };
  const late = (): never => {
    throw new EngineError("timeout", `its supervisor was not found within ${reconnectLimitMs / 1000} s`);
  };
  try {
    return await within(engine.launcher.reconnect(run, known), reconnectLimitMs, late, { clock: engine.clock });
  } catch (error) {
    engine.logger.warn("finding a container's supervisor failed", { error: messageOf(error), id: container.id });
    // Neither the row nor the file names a process, but a start may have launched one: a process that joins a pid namespace has no identity
    // before its launch.
    if (!active && identity === undefined && hasNoProcess(engine, container)) return { kind: "idle" };
    return { kind: "running", supervisor: engine.launcher.assume(run, known, messageOf(error)) };
  }
}

/** False when it cannot be found out. */
function hasNoProcess({ cgroups }: ContainersContext, { record }: Container): boolean {
  try {
    return cgroups.open(record.cgroupPath).processes().length === 0;
  } catch {
    return false;
  }
}
