/**
 * A daemon's start with the state of the previous one, however that one ended. Running containers are managed again, ends that happened
 * meanwhile get their true code and time, and everything that belongs to nothing is removed.
 *
 * Order: every supervisor is asked → the networks start with the endpoints of running containers → states are written → leftovers are removed →
 * requests are served → restart policies resume.
 */
import type { ExitStatus, Supervisor } from "@fathom/runtime";
import type { Container } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import { healthAtStart } from "../health/health.ts";
import { decideAgain, endedPatch } from "../lifecycle/ends/end.ts";
import { removeFiles } from "../lifecycle/verbs/remove.ts";
import { runningProcess } from "../lifecycle/verbs/start-row.ts";
import { inStep } from "../lifecycle/step-failure.ts";
import { networkedContainers } from "../resolvers.ts";
import { readAdoptFile, type AdoptFile } from "../run-directory.ts";
import type { ContainerPatch } from "../rows/table.ts";
import { removeImageLayers, unmountImages } from "../steps/image-mounts.ts";
import { knownEndpoints, repairNetworks } from "../steps/networks.ts";
import { unmountSharedMemory } from "../steps/shared-memory.ts";
import { attempt } from "./attempt.ts";
import { findProcess } from "./find-process.ts";
import { sweep } from "./sweep.ts";

interface FoundRun {
  readonly container: Container;
  readonly supervisor: Supervisor;
  readonly paused: boolean;
  readonly patch: ContainerPatch;
}

/** The steps of a daemon's start for its containers, in their order. A failure that ends the start names one of them. */
export type RecoveryStep = "unfinished" | "find" | "networks" | "take-up" | "late-ends" | "sweep";

/** @throws StepFailure with a RecoveryStep */
export async function recover(engine: ContainersContext): Promise<void> {
  const step = <T>(name: RecoveryStep, action: () => Promise<T>): Promise<T> => inStep(name, action);
  await step("unfinished", () => finishUnfinished(engine));
  const { running, exited } = await step("find", () => findRuns(engine));
  const repaired = await step("networks", async () => {
    const { warnings, interfacesRemoved } = await engine.networks.start(
      knownEndpoints(running.map(({ container, patch }) => patch.networks ?? container.record.networks)),
      networkedContainers(engine, new Map(running.map(({ container, supervisor }) => [container.id, supervisor]))),
    );
    for (const warning of warnings) engine.logger.warn(warning);
    return Promise.all(running.map((run) => repairRun(engine, run, interfacesRemoved)));
  });
  await step("take-up", async () => {
    for (const run of repaired) await takeUp(engine, run);
  });
  await step("late-ends", async () => {
    for (const [container, exit] of exited) await recordLateExit(engine, container, exit);
  });
  await step("sweep", () => sweep(engine));
}

/** A container whose network cannot be repaired is managed as it is. */
async function repairRun(engine: ContainersContext, run: FoundRun, interfacesRemoved: boolean): Promise<FoundRun> {
  const { container, supervisor, patch } = run;
  const before = patch.networks ?? container.record.networks;
  let networks = before;
  await attempt(engine, `repairing the network of ${container.id}`, async () => {
    networks = await repairNetworks(engine, container, supervisor, { networks: before, interfacesRemoved });
  });
  return networks === before ? run : { ...run, patch: { ...patch, networks } };
}

interface FoundRuns {
  readonly running: readonly FoundRun[];
  readonly exited: readonly (readonly [Container, ExitStatus])[];
}

/** Asks every supervisor. A container that neither runs nor has ended since then is as its row says. */
async function findRuns(engine: ContainersContext): Promise<FoundRuns> {
  const containers = engine.containers.list();
  const found = await Promise.all(containers.map((container) => findProcess(engine, container)));
  const running: FoundRun[] = [];
  const exited: [Container, ExitStatus][] = [];
  for (const [index, container] of containers.entries()) {
    const result = found[index]!;
    if (result.kind === "running") {
      const paused = await isPaused(engine, container);
      running.push({
        container,
        supervisor: result.supervisor,
        paused,
        patch: adoptedPatch(engine, container, result.supervisor, paused),
      });
    } else if (result.kind === "exited") exited.push([container, result.exit]);
    else await engine.machine.apply(container, "found-idle");
  }
  return { running, exited };
}

/** Half-made containers are removed, half-removed ones are removed completely. */
async function finishUnfinished(engine: ContainersContext): Promise<void> {
  for (const container of engine.containers.unfinished.splice(0)) {
    for (const mount of container.record.mounts)
      if (mount.anonymous && mount.name !== undefined)
        await engine.volumes
          .removeIfUnused(mount.name, container.id)
          .catch((error) => engine.logger.warn("removing an anonymous volume failed", { error, volume: mount.name }));
    const isHalfMade = container.state === "creating";
    if (isHalfMade)
      await attempt(engine, `removing the images that ${container.id} mounted`, () =>
        removeImageLayers(engine, container.record),
      );
    // For a half-removed container, the effects of this remove the rest.
    await engine.machine.apply(container, "removed");
    if (isHalfMade) await removeFiles(engine, container.id);
  }
}

/** Writes into the row that the container runs, with the endpoints of its process. */
function adoptedPatch(
  engine: ContainersContext,
  { record }: Container,
  supervisor: Supervisor,
  paused: boolean,
): ContainerPatch {
  const { state } = record;
  const known = (state.status === "running" || state.status === "paused") && state.startedAt === supervisor.startedAt;
  const adopt = known ? undefined : readAdoptFile(engine.config, record.id);
  return {
    ...(adopt === undefined ? {} : rowOf(adopt)),
    health: healthAtStart(record.spec.health, record.health),
    state: {
      ...state,
      status: paused ? "paused" : "running",
      pid: supervisor.pid,
      startedAt: supervisor.startedAt,
      ...(known ? {} : { exitCode: 0, error: "", oomKilled: false }),
    },
  };
}

/** As the start would have written it. */
function rowOf({ networks, restartCount, restartDelayMs }: AdoptFile): ContainerPatch {
  return { networks, restartCount, restartDelayMs, stoppedByUser: false };
}

/** If a container is frozen and its row has another status, a commit was reading it (or a pause did not finish): it continues. */
async function isPaused(engine: ContainersContext, container: Container): Promise<boolean> {
  const paused = container.record.state.status === "paused";
  // What cannot be read stays as the row has it.
  let frozen = paused;
  try {
    const cgroup = engine.cgroups.open(container.record.cgroupPath);
    frozen = cgroup.frozen();
    if (!frozen || paused) return frozen;
    await cgroup.thaw();
    return false;
  } catch (error) {
    engine.logger.warn("looking whether a container is paused failed", { error, id: container.id });
    return frozen;
  }
}

async function takeUp(engine: ContainersContext, { container, supervisor, paused, patch }: FoundRun): Promise<void> {
  const process = runningProcess({ supervisor }, engine.cgroups.open(container.record.cgroupPath), engine.clock);
  for (const mount of container.record.mounts)
    if (mount.name !== undefined) {
      const { name } = mount;
      // Do not wait for it: the container runs, so it is mounted; and if it is not, its server may not answer.
      engine.volumes
        .acquire(name, container.id)
        .catch((error: unknown) =>
          engine.logger.warn("a volume of a running container is missing", { error, volume: name }),
        );
    }
  await engine.machine.apply(container, paused ? "found-paused" : "found-running", { process, patch });
  engine.logger.info("container runs on", { id: container.id, pid: supervisor.pid });
}

async function recordLateExit(engine: ContainersContext, container: Container, exit: ExitStatus): Promise<void> {
  const cgroup = engine.cgroups.open(container.record.cgroupPath);
  let oomKilled = false;
  try {
    oomKilled = cgroup.oomKills() > 0;
  } catch {
    // It was removed already.
  }
  try {
    await cgroup.kill();
    await cgroup.remove();
  } catch (error) {
    engine.logger.warn("removing a cgroup failed", { error, id: container.id });
  }
  const { id, record } = container;
  for (const unmount of [unmountSharedMemory, unmountImages])
    await attempt(engine, `unmounting what ${id} had`, async () => unmount(engine, record));
  const { status } = record.state;
  // A run that is not in the row: the daemon died before it wrote the start.
  const adopt = status === "running" || status === "paused" ? undefined : readAdoptFile(engine.config, container.id);
  const before =
    adopt === undefined
      ? record
      : { ...record, ...rowOf(adopt), state: { ...record.state, startedAt: adopt.launchedAt } };
  const ended = { ...before, ...endedPatch(before, exit, oomKilled, "exited") };
  // What the daemon would have done if it had seen the end. `resume` begins the wait.
  const waits = decideAgain(ended).kind === "restart";
  const { state, networks, health, restartCount, restartDelayMs, stoppedByUser } = ended;
  await engine.machine.apply(container, waits ? "found-waiting" : "found-ended", {
    patch: {
      networks,
      health,
      restartCount,
      restartDelayMs,
      stoppedByUser,
      state: waits ? { ...state, status: "restarting" } : state,
    },
    end: { exitCode: exit.code, oomKilled },
  });
  engine.logger.info("container ended while no daemon ran", { id: container.id, exitCode: exit.code, lost: exit.lost });
}
