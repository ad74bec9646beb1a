/** How a start changes a container's row, and the data that a daemon keeps of a running container. */
import { deferred, type Clock } from "@fathom/base";
import type { Cgroup, Launched, LaunchFailure } from "@fathom/runtime";
import type { RunningProcess } from "../../container.ts";
import type { FailureWords } from "../../contract.ts";
import { healthAtStart } from "../../health/health.ts";
import type { ContainerRecord, NetworkAttachment } from "../../record.ts";
import type { AdoptFile } from "../../run-directory.ts";
import type { ContainerPatch } from "../../rows/table.ts";

/** How often policies have started it, and after which delay. */
export type RestartCounts = Pick<AdoptFile, "restartCount" | "restartDelayMs">;

/** @param detachKeys Those that the start named. */
export function runningProcess(
  { supervisor }: Pick<Launched, "supervisor">,
  cgroup: Cgroup,
  clock: Clock,
  detachKeys?: Uint8Array,
): RunningProcess {
  return {
    supervisor,
    cgroup,
    startedMs: clock.monotonicMs(),
    detachKeys,
    commits: new Set(),
    launchingExecs: new Set(),
    freezing: false,
    ended: deferred(),
  };
}

export function startedPatch(
  { spec, state, health }: ContainerRecord,
  { supervisor }: Launched,
  networks: readonly NetworkAttachment[],
  counts: RestartCounts,
): ContainerPatch {
  return {
    networks,
    ...counts,
    stoppedByUser: false,
    health: healthAtStart(spec.health, health),
    state: {
      status: "running",
      pid: supervisor.pid,
      exitCode: 0,
      error: "",
      oomKilled: false,
      startedAt: supervisor.startedAt,
      finishedAt: state.finishedAt,
    },
  };
}

export function failedPatch(words: FailureWords, { state }: ContainerRecord, failure: LaunchFailure): ContainerPatch {
  return {
    stoppedByUser: false,
    restartDelayMs: 0,
    state: {
      ...state,
      status: state.status === "restarting" ? "exited" : state.status,
      pid: 0,
      exitCode: words.exitCodeAfterStart(failure, state.exitCode),
      error: words.startWords(failure),
    },
  };
}
