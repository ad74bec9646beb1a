/** What the launch needs in addition to the plan, and how it is undone. */
import { formatRfc3339Nano } from "@fathom/base";
import type { Cgroup, Launched, LaunchPlan, LaunchRequest, LogSink, SupervisedIo } from "@fathom/runtime";
import type { PendingAttach } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import { containerPaths } from "../paths.ts";
import type { ContainerRecord, NetworkAttachment } from "../record.ts";
import { writeAdoptFile, type AdoptFile } from "../run-directory.ts";
import type { ReadyStem } from "../stems.ts";

/** For the next daemon, when this one dies between the launch and the row. */
export function describeRun(
  { clock, config }: Pick<ContainersContext, "clock" | "config">,
  id: string,
  networks: readonly NetworkAttachment[],
  counts: Pick<AdoptFile, "restartCount" | "restartDelayMs">,
  { prepared }: ReadyStem,
): void {
  const { identity } = prepared;
  writeAdoptFile(config, id, {
    networks,
    ...counts,
    launchedAt: formatRfc3339Nano(clock.nowNs()),
    movesPackedLogs: true,
    ...(identity === undefined ? {} : { identity }),
  });
}

/** All except the root, which the launch itself receives. */
export function launchRequest(
  { config }: Pick<ContainersContext, "config">,
  { id, spec }: ContainerRecord,
  plan: LaunchPlan,
  log: LogSink,
  clients: readonly PendingAttach[],
): Omit<LaunchRequest<SupervisedIo>, "rootFd"> {
  return {
    plan,
    directory: containerPaths(config, id).run,
    io: {
      kind: "supervised",
      log,
      openStdin: spec.stdin !== "none",
      attach: clients.map(({ options }) => options),
    },
  };
}

export function publishMounts({ events }: Pick<ContainersContext, "events">, { id, mounts }: ContainerRecord): void {
  for (const { name, destination, driver, propagation, readWrite } of mounts)
    if (name !== undefined)
      events.publish("volume", "mount", name, {
        container: id,
        destination,
        driver: driver ?? "local",
        propagation,
        "read/write": String(readWrite),
      });
}

/** For each event of `publishMounts`. */
export function publishUnmounts({ events }: Pick<ContainersContext, "events">, { id, mounts }: ContainerRecord): void {
  for (const { name, driver } of mounts)
    if (name !== undefined) events.publish("volume", "unmount", name, { container: id, driver: driver ?? "local" });
}

/** Ends the launched process. */
export async function endLaunch({ supervisor }: Launched, cgroup: Cgroup): Promise<void> {
  supervisor.disconnect();
  await cgroup.kill();
  await cgroup.remove();
}
