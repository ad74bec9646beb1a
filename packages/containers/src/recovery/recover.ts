/**
 * A daemon's start over the state of the one before, however that one ended. What runs is taken up again, what ended meanwhile gets its
 * true code and time, what belongs to nothing is removed.
 *
 * Order: every supervisor is asked → the networks start with the endpoints of what runs → states are written → leftovers go →
 * requests are served → restart policies resume.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename } from "node:path";
import { deferred, EngineError, formatRfc3339Nano, messageOf, zeroTime } from "@fathom/base";
import type { Cgroup, ExitStatus, KnownRun, Supervisor } from "@fathom/runtime";
import type { Container, RunningProcess } from "../container.ts";
import type { ContainerRecord } from "../record.ts";
import type { ContainerPatch } from "../rows/table.ts";
import { knownEndpoints } from "../steps/networks.ts";
import { endedPatch, lengthOfRunNs, policyFacts } from "../lifecycle/end.ts";
import { removeContainer, removeFiles } from "../lifecycle/remove.ts";
import { decideRestart, firstDelayMs, restartsWithDaemon, type RestartDecision } from "../lifecycle/restart-policy.ts";
import type { ContainersContext } from "../context.ts";
import { containerPaths, containersRoot } from "../paths.ts";
import { removeImageLayers, unmountImages } from "../steps/image-mounts.ts";
import { unmountSharedMemory } from "../steps/shared-memory.ts";
import { clearRunDirectory, readAdoptFile, type AdoptFile } from "../run-directory.ts";

type Found =
  | { readonly kind: "idle" }
  | { readonly kind: "running"; readonly supervisor: Supervisor }
  | { readonly kind: "exited"; readonly exit: ExitStatus };

interface FoundRun {
  readonly container: Container;
  readonly supervisor: Supervisor;
  readonly paused: boolean;
  readonly patch: ContainerPatch;
}

/** `Launcher.reconnect` promises less. */
const reconnectLimitMs = 3000;

export async function recover(engine: ContainersContext): Promise<void> {
  await finishUnfinished(engine);
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
  const { warnings } = await engine.networks.start(
    knownEndpoints(running.map(({ container, patch }) => patch.networks ?? container.record.networks)),
  );
  for (const warning of warnings) engine.logger.warn(warning);

  for (const run of running) await takeUp(engine, run);
  for (const [container, exit] of exited) await recordLateExit(engine, container, exit);
  await sweep(engine);
}

/** Half-made containers are unmade, half-removed ones removed. */
async function finishUnfinished(engine: ContainersContext): Promise<void> {
  for (const container of engine.containers.unfinished.splice(0)) {
    for (const mount of container.record.mounts)
      if (mount.anonymous && mount.name !== undefined)
        await engine.volumes
          .removeIfUnused(mount.name, container.id)
          .catch((error) => engine.logger.warn("removing an anonymous volume failed", { error, volume: mount.name }));
    await attempt(engine, `removing the images that ${container.id} mounted`, () =>
      removeImageLayers(engine, container.record),
    );
    await engine.machine.apply(container, "removed");
    await removeFiles(engine, container.id);
  }
}

/** Also of a container whose row knows of no process: the daemon may have died between the launch and the row. */
async function findProcess(engine: ContainersContext, container: Container): Promise<Found> {
  const { state } = container.record;
  const active = state.status === "running" || state.status === "paused";
  const { run } = containerPaths(engine.config, container.id);
  if (statSync(run, { throwIfNoEntry: false }) !== undefined) {
    const result = await askForRun(engine, container, active);
    if (result.kind === "running") return result;
    // An end that is in the row already only has its directory left.
    if (result.kind === "exited")
      return active ||
        (result.exit.finishedAt !== state.finishedAt && readAdoptFile(engine.config, container.id) !== undefined)
        ? result
        : { kind: "idle" };
  }
  if (!active) return { kind: "idle" };
  // The machine went down, or supervisor and status are lost: the truth cannot be known.
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

/** Within a bound; a run of which nothing is found out is not a run that has ended. */
async function askForRun(
  engine: ContainersContext,
  container: Container,
  active: boolean,
): Promise<Found | { readonly kind: "gone" }> {
  const { state } = container.record;
  const { run } = containerPaths(engine.config, container.id);
  const adopt = readAdoptFile(engine.config, container.id);
  const identity = adopt?.identity;
  // The row and the file may be of different runs: the daemon died between the launch and the row.
  const sameRun = active && (identity === undefined || identity.process.pid === state.pid);
  const known: KnownRun = {
    identity,
    pid: identity?.process.pid ?? (active ? state.pid : 0),
    startedAt: sameRun ? state.startedAt : (adopt?.launchedAt ?? zeroTime),
  };
  const patience = new AbortController();
  try {
    return await Promise.race([
      engine.launcher.reconnect(run, known),
      engine.clock.sleep(reconnectLimitMs, patience.signal).then((): never => {
        throw new EngineError("timeout", `its supervisor was not found within ${reconnectLimitMs / 1000} s`);
      }),
    ]);
  } catch (error) {
    engine.logger.warn("finding a container's supervisor failed", { error: messageOf(error), id: container.id });
    if (!active && identity === undefined) return { kind: "idle" };
    return { kind: "running", supervisor: engine.launcher.assume(run, known, messageOf(error)) };
  } finally {
    patience.abort();
  }
}

/** How the row of a container that was found running says so, with the endpoints that its process has. */
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

/** What is frozen without a word of it in the row, a commit was reading (or a pause never came to its end): it goes on. */
async function isPaused(engine: ContainersContext, container: Container): Promise<boolean> {
  try {
    const cgroup = engine.cgroups.open(container.record.cgroupPath);
    if (!cgroup.frozen()) return false;
    if (container.record.state.status === "paused") return true;
    await cgroup.thaw();
  } catch (error) {
    engine.logger.warn("looking whether a container is paused failed", { error, id: container.id });
  }
  return false;
}

async function takeUp(engine: ContainersContext, { container, supervisor, paused, patch }: FoundRun): Promise<void> {
  const process: RunningProcess = {
    supervisor,
    cgroup: engine.cgroups.open(container.record.cgroupPath),
    startedMs: engine.clock.monotonicMs(),
    detachKeys: undefined,
    commits: new Set(),
    launchingExecs: new Set(),
    freezing: false,
    ended: deferred(),
  };
  for (const mount of container.record.mounts)
    if (mount.name !== undefined) {
      const { name } = mount;
      // Not waited for: it is mounted, since the container runs, and if not, its server may be away.
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
    // It is gone already.
  }
  try {
    await cgroup.kill();
    await cgroup.remove();
  } catch (error) {
    engine.logger.warn("removing a cgroup failed", { error, id: container.id });
  }
  const { id, record } = container;
  await attempt(engine, `unmounting what ${id} had`, async () => {
    unmountSharedMemory(engine, record);
    unmountImages(engine, record);
  });
  const { status } = record.state;
  // A run that the row does not know: its start was not written any more.
  const adopt = status === "running" || status === "paused" ? undefined : readAdoptFile(engine.config, container.id);
  const before =
    adopt === undefined
      ? record
      : { ...record, ...rowOf(adopt), state: { ...record.state, startedAt: adopt.launchedAt } };
  const ended = { ...before, ...endedPatch(before, exit, oomKilled, "exited") };
  // As the daemon would have done it had it seen the end; `resume` begins the wait.
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

/** The policy's decision on the last run, from what the row says of it. */
function decideAgain(record: ContainerRecord): RestartDecision {
  return decideRestart({
    ...policyFacts(record),
    ranForMs: Number(lengthOfRunNs(record.state) / 1_000_000n),
    previousDelayMs: record.restartDelayMs,
  });
}

/** Cgroups, layers and directories that no container's row names. */
async function sweep(engine: ContainersContext): Promise<void> {
  const running = new Set(
    engine.containers
      .list()
      .filter((container) => container.process !== undefined)
      .map((container) => container.record.cgroupPath),
  );
  const stems = new Set(engine.stems.ids());
  const known = new Set(engine.containers.list().map(({ id }) => id));
  const parent = engine.stems.cgroupPath("", "x").replace(/\/x$/, "");
  for (const name of engine.cgroups.list(parent)) {
    const path = `${parent}/${basename(name)}`;
    // Only what has the form of ours: somebody may keep cgroups of their own below the parent.
    if (running.has(path) || stems.has(basename(name)) || !/^[0-9a-f]{64}$/.test(basename(name))) continue;
    await attempt(engine, `removing the leftover cgroup ${path}`, async () => {
      const cgroup = engine.cgroups.open(path);
      if (!known.has(basename(name)) && (await staysInUse(engine, cgroup))) {
        engine.logger.warn(
          "a cgroup below the cgroup parent holds processes of no container: does another engine use this parent?",
          {
            cgroup: path,
            remedy: "give each daemon its own --cgroup-parent",
          },
        );
        return;
      }
      await cgroup.kill();
      await cgroup.remove();
    });
  }
  const imageLayers = new Set(
    engine.containers.list().flatMap(({ record }) => record.mounts.flatMap(({ image }) => image?.layer ?? [])),
  );
  // Those of containers with a parent of their own, whose start was interrupted: no list has them.
  for (const { id, process, record } of engine.containers.list())
    if (process === undefined && !record.cgroupPath.startsWith(`${parent}/`))
      await attempt(engine, `removing the leftover cgroup of ${id}`, async () => {
        const cgroup = engine.cgroups.open(record.cgroupPath);
        await cgroup.kill();
        await cgroup.remove();
      });
  for (const { key: id, owner } of engine.store.snapshots.list())
    if (owner !== "build" && engine.containers.byId(id) === undefined && !imageLayers.has(id))
      await attempt(engine, `removing the leftover layer ${id}`, () => engine.store.snapshots.remove(id));
  for (const id of readdirSync(containersRoot(engine.config)))
    if (engine.containers.byId(id) === undefined) {
      // It is no leftover, and could not be taken up: left for somebody to look at.
      if (existsSync(containerPaths(engine.config, id).description)) continue;
      // Not waited for: a log in it may be large, and nothing else needs its place.
      void attempt(engine, `removing the leftover directory ${id}`, () =>
        engine.files.remove(containerPaths(engine.config, id).directory),
      );
    } else if (
      engine.containers.byId(id)?.process === undefined &&
      !engine.containers.unwritten.has(engine.containers.byId(id)!)
    )
      await attempt(engine, `clearing what a run of ${id} left`, async () => {
        unmountSharedMemory(engine, engine.containers.byId(id)!.record);
        unmountImages(engine, engine.containers.byId(id)!.record);
        await clearRunDirectory(engine, id);
      });
}

/**
 * What ran has a row, and a stem of the daemon before ends with it, within moments: what lives on in a cgroup without a row is another
 * engine's, and not ours to kill.
 */
async function staysInUse(engine: ContainersContext, cgroup: Cgroup): Promise<boolean> {
  for (let turn = 0; turn < 50; turn++) {
    if (cgroup.processes().length === 0) return false;
    await engine.clock.sleep(20);
  }
  return true;
}

async function attempt(engine: ContainersContext, what: string, action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    engine.logger.warn(`${what} failed`, { error: messageOf(error) });
  }
}

/** Restart policies, and --rm of what ended meanwhile or, as in Docker, never started. Called when requests are being served. */
export async function resume(engine: ContainersContext): Promise<void> {
  for (const container of engine.containers.list()) {
    const { state, spec } = container.record;
    if (container.process !== undefined) continue;
    const started = state.startedAt !== zeroTime;
    // Between two tries, or ended while no daemon ran: the policy goes on where it was.
    const decision = started && state.status === "restarting" ? decideAgain(container.record) : undefined;
    if (decision?.kind === "restart")
      await engine.machine.apply(container, "resume", { restart: { delayMs: decision.delayMs, counted: true } });
    else if (started && restartsWithDaemon(policyFacts(container.record)))
      await engine.machine.apply(container, "wait", {
        patch: { state: { ...state, status: "restarting" } },
        restart: { delayMs: firstDelayMs, counted: false },
      });
    else if (spec.removeOnExit)
      await attempt(engine, `removing ${container.id}`, () =>
        engine.mutex.run(container.id, () => removeContainer(engine, container, { volumes: true })),
      );
    else if (state.status === "restarting")
      await engine.machine.apply(container, "cancel", { patch: { state: { ...state, status: "exited" } } });
  }
}
