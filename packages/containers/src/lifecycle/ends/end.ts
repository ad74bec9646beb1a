/** The end of a run: frees what the run held, then tells the machine. The policy decides from the row. */
import { messageOf, parseRfc3339Nano } from "@fathom/base";
import type { ExitStatus, LaunchStage } from "@fathom/runtime";
import { detachNetworks } from "../../steps/networks.ts";
import type { ContainerPatch } from "../../rows/table.ts";
import type { Container, RunningProcess } from "../../container.ts";
import type { ContainersContext } from "../../context.ts";
import { unmountImages } from "../../steps/image-mounts.ts";
import type { ContainerRecord, ContainerState } from "../../record.ts";
import { publishUnmounts } from "../../steps/launch.ts";
import { unmountSharedMemory } from "../../steps/shared-memory.ts";
import { mountedVolumes, releaseVolumes } from "../../steps/volumes.ts";
import { lookForSilentEnds } from "./silent-ends.ts";
import { decideRestart, type EndedRun, type RestartDecision } from "./restart-policy.ts";

/** Registers the handler for a process's end. Called once for each run, also after a reconnect. */
export function watchEnd(engine: ContainersContext, container: Container, process: RunningProcess): void {
  const tell = (unreachable: string | undefined): void => {
    if (unreachable === undefined) engine.logger.info("a supervisor is reached again", { id: container.id });
    else engine.logger.warn("a supervisor cannot be reached", { id: container.id, reason: unreachable });
  };
  process.supervisor.onReachability = tell;
  lookForSilentEnds(engine);
  if (process.supervisor.unreachable !== undefined) tell(process.supervisor.unreachable);
  void process.supervisor.exit.then((exit) =>
    engine.mutex
      .run(container.id, () => handleEnd(engine, container, process, exit))
      .catch((error) => engine.logger.error("handling an exit failed", { error, id: container.id }))
      .finally(() => process.ended.resolve()),
  );
}

async function handleEnd(
  engine: ContainersContext,
  container: Container,
  process: RunningProcess,
  exit: ExitStatus,
): Promise<void> {
  // It was removed, or a recovery started it again, in the meantime.
  if (container.process !== process || engine.containers.byId(container.id) !== container) return;
  const oomKilled = readOomKills(process) > 0;
  await engine.machine.apply(container, "end");
  await freeRun(engine, container, process);
  const { record } = container;
  const decision: RestartDecision = engine.shuttingDown.aborted
    ? { kind: "stay" }
    : decideRestart({
        ...policyFacts(record),
        exitCode: exit.code,
        ranForMs: engine.clock.monotonicMs() - process.startedMs,
        previousDelayMs: record.restartDelayMs,
      });
  if (exit.lost === undefined) engine.logger.debug("container ended", { id: container.id, exitCode: exit.code });
  else engine.logger.warn("the supervisor of a container was lost", { id: container.id, reason: exit.lost });
  const end = { exitCode: exit.code, oomKilled };
  if (decision.kind === "restart")
    await engine.machine.apply(container, "wait", {
      patch: endedPatch(record, exit, oomKilled, "restarting"),
      end,
      restart: { delayMs: decision.delayMs, counted: true },
    });
  else await engine.machine.apply(container, "ended", { patch: endedPatch(record, exit, oomKilled, "exited"), end });
}

/** The data of the row that decides on a restart. */
export function policyFacts(
  record: ContainerRecord,
): Pick<EndedRun, "policy" | "exitCode" | "restartCount" | "stoppedByUser"> {
  const { spec, state, restartCount, stoppedByUser } = record;
  return { policy: spec.restart, exitCode: state.exitCode, restartCount, stoppedByUser };
}

/** The policy's decision about the last run, from the row. */
export function decideAgain(record: ContainerRecord): RestartDecision {
  return decideRestart({
    ...policyFacts(record),
    ranForMs: Number(lengthOfRunNs(record.state) / 1_000_000n),
    previousDelayMs: record.restartDelayMs,
  });
}

/** How an end changes the row; also for ends that a starting daemon finds. */
export function endedPatch(
  record: ContainerRecord,
  exit: ExitStatus,
  oomKilled: boolean,
  status: "exited" | "restarting",
): Pick<ContainerPatch, "state" | "networks" | "health"> {
  return {
    state: {
      ...record.state,
      status,
      pid: 0,
      exitCode: exit.code,
      oomKilled,
      error: exit.lost ?? "",
      finishedAt: exit.finishedAt,
    },
    networks: record.networks.map((network) => ({ ...network, endpoint: undefined })),
    ...(record.health === undefined ? {} : { health: { ...record.health, status: "unhealthy" } }),
  };
}

/** Frees what a run held outside the row: each part belongs to the start's step of the same name. When one part fails, the others are still tried. */
async function freeRun(engine: ContainersContext, container: Container, process: RunningProcess): Promise<void> {
  process.supervisor.disconnect();
  const free = async (step: LaunchStage, action: () => unknown): Promise<void> => {
    try {
      await action();
    } catch (error) {
      engine.logger.error("freeing what a container held failed", { step, id: container.id, error: messageOf(error) });
    }
  };
  await Promise.all([
    free("stem", async () => {
      // After a lost supervisor there are still processes; after a normal end there are none.
      await process.cgroup.kill();
      await process.cgroup.remove();
    }),
    free("network", () => detachNetworks(engine, container)),
    free("shared-memory", () => unmountSharedMemory(engine, container.record)),
    free("images", () => unmountImages(engine, container.record)),
  ]);
  releaseVolumes(engine.volumes, container.id, mountedVolumes(container.record));
  publishUnmounts(engine, container.record);
}

function readOomKills(process: RunningProcess): number {
  try {
    return process.cgroup.oomKills();
  } catch {
    return 0;
  }
}

/** Duration of the last run, in nanoseconds. */
export function lengthOfRunNs({ startedAt, finishedAt }: ContainerState): bigint {
  const start = parseRfc3339Nano(startedAt) ?? 0n;
  const end = parseRfc3339Nano(finishedAt) ?? start;
  return end > start ? end - start : 0n;
}
