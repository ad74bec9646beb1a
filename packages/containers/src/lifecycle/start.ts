/**
 * The start of a container: the list of its steps, each in a file of its own. What a step makes goes on a stack that undoes it in reverse when a later step
 * fails; the machine has the state and all that follows.
 *
 * A daemon that dies on the way: before the launch everything made is held by this process or by the stem, which ends with its
 * control socket; the network's reconcile and the sweep over cgroups take the rest. Between launch and row, `adopt.json` in the
 * supervisor's directory has what the row would have had, and the next daemon takes the process over.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { deferred, EngineError, formatRfc3339Nano } from "@fathom/base";
import { LaunchFailure, type Launched, type LaunchRequest, type LaunchStage, type SupervisedIo } from "@fathom/runtime";
import { attachNetworks, detachAll } from "../steps/networks.ts";
import { writeHostsFile, writeStaticFiles } from "../steps/network-files.ts";
import type { Container, PendingAttach, RunningProcess } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import { healthAtStart } from "../health/health.ts";
import { holdNamespaces } from "../steps/held-namespaces.ts";
import { mountImages, unmountImages } from "../steps/image-mounts.ts";
import { checkPropagation, prepareMountSources } from "../steps/mount-sources.ts";
import { containerPaths } from "../paths.ts";
import type { ContainerRecord, NetworkAttachment } from "../record.ts";
import { clearRunDirectory, writeAdoptFile, type AdoptFile } from "../run-directory.ts";
import { mountSharedMemory, unmountSharedMemory } from "../steps/shared-memory.ts";
import { StartSteps } from "../steps/start-report.ts";
import { discard } from "../stems.ts";
import { joinedNamespaces, translate } from "../steps/plan.ts";
import { writeRow } from "./late-rows.ts";

export interface StartOptions {
  /** A restart policy starts it: the count goes up and the delay is remembered. */
  readonly byPolicy?: { readonly delayMs: number };
  /** The start is part of a restart by the user or of the daemon's own start: the count stays. */
  readonly keepCount?: boolean;
  /** For clients that attach to this run and choose none. */
  readonly detachKeys?: Uint8Array | undefined;
}

/** The step that is under way: an error is a failure of it. */
interface Progress {
  stage: LaunchStage;
}

type Counts = Pick<AdoptFile, "restartCount" | "restartDelayMs">;

/**
 * Starts a container; its key must be locked.
 * @throws Refused; LaunchFailure, recorded in the state too
 */
export async function startContainer(
  engine: ContainersContext,
  container: Container,
  options: StartOptions = {},
): Promise<void> {
  const { machine } = engine;
  engine.shuttingDown.throwIfAborted();
  machine.check(container, "start");
  // The end of the run before must be known before the next one takes its place.
  if (engine.containers.unwritten.has(container)) await writeRow(engine, container);
  await machine.apply(container, "start");
  container.stopRequested = false;
  const counts = countsOf(container.record, options);
  const progress: Progress = { stage: "join" };
  let followed: Promise<void>;
  try {
    const run = await launch(engine, container, counts, progress);
    progress.stage = "row";
    await using undo = new AsyncDisposableStack();
    undo.defer(() => abandon(engine, container, run));
    followed = machine.apply(container, "started", {
      patch: startedPatch(container.record, run, counts),
      process: processOf(engine, run, options),
      streams: { pending: run.attach, attachments: run.launched.attachments },
    });
    undo.move();
  } catch (error) {
    const failure = LaunchFailure.of(progress.stage, error);
    await machine.apply(container, "failed", { patch: failedPatch(engine, container.record, failure) });
    throw failure;
  }
  engine.logger.debug("container started", { id: container.id, pid: container.record.state.pid });
  await followed;
}

function countsOf({ restartCount }: ContainerRecord, { byPolicy, keepCount }: StartOptions): Counts {
  return {
    restartCount: byPolicy ? restartCount + 1 : keepCount === true ? restartCount : 0,
    restartDelayMs: byPolicy?.delayMs ?? 0,
  };
}

function processOf(engine: ContainersContext, { launched, cgroup }: Run, { detachKeys }: StartOptions): RunningProcess {
  return {
    supervisor: launched.supervisor,
    cgroup,
    startedMs: engine.clock.monotonicMs(),
    detachKeys,
    commits: new Set(),
    launchingExecs: new Set(),
    freezing: false,
    ended: deferred(),
  };
}

function startedPatch(
  { spec, state }: ContainerRecord,
  { launched, networks }: Run,
  counts: Counts,
): Partial<ContainerRecord> {
  return {
    networks,
    ...counts,
    stoppedByUser: false,
    health: healthAtStart(spec.health),
    state: {
      status: "running",
      pid: launched.supervisor.pid,
      exitCode: 0,
      error: "",
      oomKilled: false,
      startedAt: launched.supervisor.startedAt,
      finishedAt: state.finishedAt,
    },
  };
}

function failedPatch(
  engine: ContainersContext,
  { state }: ContainerRecord,
  failure: LaunchFailure,
): Pick<ContainerRecord, "state" | "stoppedByUser" | "restartDelayMs"> {
  return {
    stoppedByUser: false,
    restartDelayMs: 0,
    state: {
      ...state,
      status: state.status === "restarting" ? "exited" : state.status,
      pid: 0,
      exitCode: engine.words.exitCodeAfterStart(failure, state.exitCode),
      error: engine.words.startWords(failure),
    },
  };
}

/** Ends what was launched, because it could not be written that it runs. */
async function abandon(engine: ContainersContext, container: Container, run: Run): Promise<void> {
  const { record } = container;
  run.launched.supervisor.disconnect();
  // The launch took the pending clients: they get no stream.
  for (const { fd } of run.launched.attachments) engine.sys.close(fd);
  for (const pending of run.attach) pending.started.resolve(undefined);
  const results = await Promise.allSettled([
    run.cgroup.kill().then(() => run.cgroup.remove()),
    detachAll(engine, record.id, run.networks),
    (async () => unmountSharedMemory(engine, record))(),
    (async () => unmountImages(engine, record))(),
  ]);
  for (const mount of record.mounts) if (mount.name !== undefined) void engine.volumes.release(mount.name, record.id);
  await clearRunDirectory(engine, record.id);
  for (const result of results)
    if (result.status === "rejected")
      engine.logger.error("cleaning up after a start failed", { error: result.reason, id: record.id });
}

interface Run {
  readonly launched: Launched;
  readonly cgroup: RunningProcess["cgroup"];
  readonly networks: readonly NetworkAttachment[];
  readonly attach: readonly PendingAttach[];
}

async function launch(
  engine: ContainersContext,
  container: Container,
  counts: Counts,
  progress: Progress,
): Promise<Run> {
  const { record } = container;
  const paths = containerPaths(engine.config, record.id);
  await using undo = new AsyncDisposableStack();

  const steps = new StartSteps(engine.clock);
  const joined = joinedNamespaces(engine, record);
  using held = holdNamespaces(engine.sys, joined);
  const joins = { ...joined, namespaces: held.namespaces };
  progress.stage = "root";
  const layer = engine.store.snapshots.get(record.id);
  if (layer === undefined)
    throw new EngineError("data-loss", `the writable layer of container ${record.id} is missing`);
  const rootFd = engine.sys.openOverlay(layer.mount);
  steps.done(
    `lay ${layer.lowerPaths.length} image layer(s) and one writable layer over each other, as a mount that only the container will see`,
  );
  // `launch` closes the descriptor whatever happens; until then it is ours.
  let rootOwned = true;
  undo.defer(() => {
    if (rootOwned) engine.sys.close(rootFd);
  });

  progress.stage = "files";
  mkdirSync(paths.run, { recursive: true, mode: 0o700 });
  undo.defer(() => clearRunDirectory(engine, record.id));
  const log = engine.logs.target(record);
  if (log.kind === "json-file") mkdirSync(dirname(log.path), { recursive: true, mode: 0o710 });
  if (joins.networkContainer === undefined) writeStaticFiles(engine, record);
  progress.stage = "volumes";
  for (const mount of record.mounts)
    if (mount.name !== undefined) {
      const { name } = mount;
      undo.defer(() => void engine.volumes.release(name, record.id));
      await engine.volumes.acquire(name, record.id);
    }
  progress.stage = "images";
  undo.defer(() => unmountImages(engine, record));
  mountImages(engine, record);
  progress.stage = "mounts";
  await prepareMountSources(engine.files, record.mounts);
  // Directories of devices are read in the runtime's few threads: what is on a server that is away must not get there.
  for (const path of record.spec.devicePaths) await engine.files.kindOf(path);
  await checkPropagation(engine.files, record.mounts, engine.config.dataRoot);
  progress.stage = "shared-memory";
  if (record.spec.ipc.kind === "shareable") {
    mountSharedMemory(engine, record);
    undo.defer(() => unmountSharedMemory(engine, record));
  }

  steps.done("write the container's files (hostname, resolv.conf), prepare volumes and shared memory");
  progress.stage = "user";
  const translation = await translate(engine, record, rootFd, layer, joins);
  steps.done("find the user, turn the configuration into an OCI configuration");
  progress.stage = "stem";
  const stem = await engine.stems.claim(record.id, record.cgroupPath, (cgroup) => translation.compile(cgroup).stem);
  undo.defer(() => discard(stem));
  progress.stage = "limits";
  stem.cgroup.apply(translation.resources);

  steps.done("take a process that waits in its own namespaces and cgroups, set its limits");
  progress.stage = "network";
  const networks = await attachNetworks(engine, container, stem.prepared.networkNamespaceFd, stem.link);
  undo.defer(() => detachAll(engine, record.id, networks));
  if (joins.networkContainer === undefined) writeHostsFile(engine, record, networks);

  steps.done("attach the network: interface, address, route, published ports, hosts file");
  progress.stage = "compile";
  const plan = translation.compile(stem.cgroup);
  steps.done(`compile the launch plan: ${plan.operations.length} operations`);
  if (engine.wantsStartReport(record)) steps.write(engine.sys, rootFd);

  const { identity } = stem.prepared;
  const adopt: AdoptFile = {
    networks,
    ...counts,
    launchedAt: formatRfc3339Nano(engine.clock.nowNs()),
    ...(identity === undefined ? {} : { identity }),
  };
  writeAdoptFile(engine.config, record.id, adopt);
  const attach = takePending(container, undo);
  const request: LaunchRequest<SupervisedIo> = {
    plan,
    rootFd,
    directory: paths.run,
    io: {
      kind: "supervised",
      log,
      openStdin: record.spec.stdin !== "none",
      attach: attach.map((pending) => pending.options),
    },
  };
  // Nothing that can fail may come between the two: the descriptor would be nobody's.
  progress.stage = "launch";
  rootOwned = false;
  const launched = await stem.prepared.launch(request);
  for (const mount of record.mounts)
    if (mount.name !== undefined)
      engine.events.publish("volume", "mount", mount.name, {
        container: record.id,
        destination: mount.destination,
        driver: mount.driver ?? "local",
        propagation: mount.propagation,
        "read/write": String(mount.readWrite),
      });
  undo.move();
  return { launched, cgroup: stem.cgroup, networks, attach };
}

/** The clients that wait for the start: from here on their streams are theirs to close. A launch that fails lets them wait on. */
function takePending(container: Container, undo: AsyncDisposableStack): readonly PendingAttach[] {
  const taken = [...container.pendingAttach];
  container.pendingAttach.clear();
  undo.defer(() => {
    for (const pending of taken)
      if (pending.signal.aborted) pending.started.resolve(undefined);
      else container.pendingAttach.add(pending);
  });
  return taken;
}
