/** What a container is now. The kernel decides; the record only names the process. */
import type { Cgroups, PlacedProcess } from "@fathom/runtime";
import { conditionOfPlaced, createdWaits, isDead } from "@fathom/runtime";
import type { ContainerRecord } from "./record.ts";

export type Status = "creating" | "created" | "running" | "paused" | "stopped";

/**
 * Whether a process no longer executes its program: it has ended, or waits for the other processes of its pid namespace. One that cannot be
 * examined counts as running: nothing is done to it.
 */
export function hasEnded(placed: PlacedProcess): boolean {
  const condition = conditionOfPlaced(placed);
  return isDead(condition) || condition.kind === "ending";
}

export function statusOf(directory: string, state: ContainerRecord, cgroups: Pick<Cgroups, "open">): Status {
  if (state.process === undefined) return hasEnded(state.creator) ? "stopped" : "creating";
  if (hasEnded(state.process)) return "stopped";
  if (cgroups.open(state.cgroup).frozen()) return "paused";
  return createdWaits(directory) ? "created" : "running";
}

/** Its first process, as the host numbers it; 0 when none runs. */
export function pidOf(state: ContainerRecord, status: Status): number {
  return status === "stopped" ? 0 : (state.process?.process.pid ?? 0);
}
