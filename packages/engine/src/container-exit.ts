/**
 * The end of a run. The order is the one that clients see: network and cgroup are gone, then the row says exited, then the event, then the
 * policy's decision, then whoever waits. The supervisor's files go last: until the row is written they are the truth.
 */
import { rm } from "node:fs/promises";
import { parseRfc3339Nano } from "@fathom/base";
import type { ExitStatus } from "@fathom/runtime";
import type { Container, ContainerRecord, ContainerState, RunningProcess } from "./container.ts";
import { removeContainer } from "./container-remove.ts";
import { startContainer } from "./container-start.ts";
import { wakeExitWaiters } from "./container-wait.ts";
import { publish, type EngineContext } from "./context.ts";
import { abandonExecs } from "./exec.ts";
import { detachNetworks } from "./container-network.ts";
import { containerPaths } from "./paths.ts";
import { unmountImages } from "./image-mounts.ts";
import { unmountSharedMemory } from "./shared-memory.ts";
import { lookForSilentEnds } from "./silent-ends.ts";
import { decideRestart, type EndedRun, type RestartDecision, type RestartPolicy } from "./restart-policy.ts";

/** Registers the handling of a process's end. Called once for each run, also after a reconnect. */
export function watchExit(engine: EngineContext, container: Container, process: RunningProcess): void {
  const tell = (unreachable: string | undefined): void => {
    if (unreachable === undefined) engine.logger.info("a supervisor is reached again", { id: container.id });
    else engine.logger.warn("a supervisor cannot be reached", { id: container.id, reason: unreachable });
  };
  process.supervisor.onReachability = tell;
  lookForSilentEnds(engine);
  if (process.supervisor.unreachable !== undefined) tell(process.supervisor.unreachable);
  void process.supervisor.exit.then((exit) =>
    engine.mutex
      .run(container.id, () => handleExit(engine, container, process, exit))
      .catch((error) => engine.logger.error("handling an exit failed", { error, id: container.id }))
      .finally(() => process.ended.resolve()),
  );
}

async function handleExit(
  engine: EngineContext,
  container: Container,
  process: RunningProcess,
  exit: ExitStatus,
): Promise<void> {
  // Removed, or started anew by a recovery, in the meantime.
  if (container.process !== process || engine.containers.byId(container.id) !== container) return;
  const oomKilled = readOomKills(process) > 0;
  await releaseRun(engine, container, process);
  container.health?.stop();
  container.health = undefined;

  const decision: RestartDecision = engine.shuttingDown.aborted
    ? { kind: "stay" }
    : decideRestart({
        ...policyFacts(container.record),
        exitCode: exit.code,
        stoppedByUser: container.record.stoppedByUser || container.stopRequested,
        ranForMs: engine.clock.monotonicMs() - process.startedMs,
        previousDelayMs: container.record.restartDelayMs,
      });
  const written = recordExit(engine, container, exit, oomKilled, decision.kind === "restart" ? "restarting" : "exited");
  if (exit.lost === undefined) engine.logger.debug("container ended", { id: container.id, exitCode: exit.code });
  else engine.logger.warn("the supervisor of a container was lost", { id: container.id, reason: exit.lost });
  if (decision.kind === "stay") abandonExecs(engine, container);
  if (oomKilled) publish(engine, container, "oom");
  publishDie(engine, container);
  if (written)
    await clearRunDirectory(engine, container.id).catch((error: unknown) =>
      engine.logger.warn("removing what a run left failed; the next start does it", { error, id: container.id }),
    );
  container.stopRequested = false;

  if (decision.kind === "restart") {
    scheduleRestart(engine, container, decision.delayMs);
    wakeExitWaiters(container, exit.code);
    return;
  }
  wakeExitWaiters(container, exit.code);
  await removeItself(engine, container);
}

/**
 * --rm of a container that has ended; its key must be locked. Not while a restart will start it again. While the daemon stops, its containers stay as they
 * are for the next one; --rm is then done at its start.
 */
export async function removeItself(engine: EngineContext, container: Container): Promise<void> {
  if (!container.record.hostConfig.AutoRemove || container.restarts > 0 || engine.shuttingDown.aborted) return;
  engine.containers.depart(container, engine.clock.monotonicMs());
  await removeContainer(engine, container, { volumes: true });
}

/** What decides on a restart, as the row has it. */
export function policyFacts(
  record: ContainerRecord,
): Pick<EndedRun, "policy" | "exitCode" | "restartCount" | "stoppedByUser"> {
  const { hostConfig, state, restartCount, stoppedByUser } = record;
  return { policy: hostConfig.RestartPolicy as RestartPolicy, exitCode: state.exitCode, restartCount, stoppedByUser };
}

/**
 * Writes the end of a run into the row. Also used for ends that a starting daemon finds. False when the disk is full: the row follows, and
 * until then the supervisor's file must stay.
 */
export function recordExit(
  engine: EngineContext,
  container: Container,
  exit: ExitStatus,
  oomKilled: boolean,
  status: "exited" | "restarting",
): boolean {
  const state: ContainerState = {
    ...container.record.state,
    status,
    pid: 0,
    exitCode: exit.code,
    oomKilled,
    error: exit.lost ?? "",
    finishedAt: exit.finishedAt,
  };
  const written = engine.containers.record(container, {
    state,
    networks: container.record.networks.map((network) => ({ ...network, endpoint: undefined })),
    ...(container.record.health === undefined ? {} : { health: { ...container.record.health, Status: "unhealthy" } }),
  });
  container.process = undefined;
  return written;
}

export function publishDie(engine: EngineContext, container: Container): void {
  const { state } = container.record;
  publish(engine, container, "die", {
    exitCode: String(state.exitCode),
    execDuration: String(lengthOfRunNs(state) / 1_000_000_000n),
  });
}

/** Frees what a run held outside the row. Each part is tried even when another fails. */
export async function releaseRun(engine: EngineContext, container: Container, process: RunningProcess): Promise<void> {
  process.supervisor.disconnect();
  const results = await Promise.allSettled([
    // A lost supervisor leaves processes; a normal end leaves none.
    process.cgroup.kill().then(() => process.cgroup.remove()),
    detachNetworks(engine, container),
    (async () => unmountSharedMemory(engine, container.record))(),
    (async () => unmountImages(engine, container.record))(),
  ]);
  for (const result of results)
    if (result.status === "rejected")
      engine.logger.error("cleaning up after a container failed", { error: result.reason, id: container.id });
  for (const mount of container.record.mounts)
    if (mount.name !== undefined) {
      void engine.volumes.release(mount.name, container.id);
      engine.events.publish("volume", "unmount", mount.name, {
        container: container.id,
        driver: mount.driver ?? "local",
      });
    }
}

export async function clearRunDirectory(engine: EngineContext, id: string): Promise<void> {
  await rm(containerPaths(engine.config, id).run, { recursive: true, force: true });
}

/**
 * Starts it again after `delayMs`, unless the user or a shutdown comes first. `counted` false: the daemon's own start brings it back, and
 * it begins anew.
 */
export function scheduleRestart(engine: EngineContext, container: Container, delayMs: number, counted = true): void {
  const timer = new AbortController();
  container.restartTimer = timer;
  engine.clock
    .sleep(delayMs, timer.signal)
    .then(() =>
      engine.mutex.run(container.id, async () => {
        if (timer.signal.aborted || container.restartTimer !== timer) return;
        container.restartTimer = undefined;
        await restartOnce(engine, container, delayMs, counted);
      }),
    )
    .catch((error) => {
      if (!timer.signal.aborted) engine.logger.error("restarting a container failed", { error, id: container.id });
    });
}

async function restartOnce(
  engine: EngineContext,
  container: Container,
  delayMs: number,
  counted: boolean,
): Promise<void> {
  // The row says "restarting": the next daemon does it.
  if (engine.shuttingDown.aborted) return;
  try {
    await startContainer(engine, container, counted ? { byPolicy: { delayMs } } : {});
  } catch (error) {
    engine.logger.warn("a restart by policy failed", { error, id: container.id });
    // A start that fails counts like a run that ends at once.
    const facts = policyFacts(container.record);
    const decision = decideRestart({
      ...facts,
      stoppedByUser: facts.stoppedByUser || engine.shuttingDown.aborted,
      ranForMs: 0,
      previousDelayMs: delayMs,
    });
    if (decision.kind === "stay") {
      // The end that they wait for was the last one.
      wakeExitWaiters(container, container.record.state.exitCode);
      return;
    }
    engine.containers.record(container, {
      restartCount: container.record.restartCount + 1,
      state: { ...container.record.state, status: "restarting" },
    });
    scheduleRestart(engine, container, decision.delayMs);
  }
}

/** Ends the wait of a restart policy; true when there was one. The container is then "exited". */
export function cancelRestart(engine: EngineContext, container: Container): boolean {
  if (container.restartTimer === undefined) return false;
  container.restartTimer.abort();
  container.restartTimer = undefined;
  if (container.record.state.status === "restarting")
    engine.containers.record(container, { state: { ...container.record.state, status: "exited" } });
  return true;
}

/** A stop by the user between two tries: the end that others wait for has been. */
export function endPolicy(engine: EngineContext, container: Container): void {
  engine.containers.record(container, { stoppedByUser: true });
  if (cancelRestart(engine, container)) wakeExitWaiters(container, container.record.state.exitCode);
}

function readOomKills(process: RunningProcess): number {
  try {
    return process.cgroup.oomKills();
  } catch {
    return 0;
  }
}

/** Of the last run, in nanoseconds. */
export function lengthOfRunNs({ startedAt, finishedAt }: ContainerState): bigint {
  const start = parseRfc3339Nano(startedAt) ?? 0n;
  const end = parseRfc3339Nano(finishedAt) ?? start;
  return end > start ? end - start : 0n;
}
