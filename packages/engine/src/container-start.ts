/**
 * The start of a container: layer mounted (a descriptor, nothing to clean up after a crash), user found, plan compiled, stem claimed,
 * network attached, plan launched, row written. Each thing that is made goes on a stack that undoes it in reverse when a later
 * step fails.
 *
 * A daemon that dies on the way: before the launch everything made is held by this process or by the stem, which ends with its
 * control socket; the network's reconcile and the sweep over cgroups take the rest. Between launch and row, `adopt.json` in the
 * supervisor's directory has what the row would have had, and the next daemon takes the process over.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { deferred, EngineError, formatRfc3339Nano, isEngineError, messageOf } from "@fathom/base";
import type { Attachment, Launched, LaunchRequest, Resources, RunIdentity } from "@fathom/runtime";
import { attachNetworks, detachAll, writeHostsFile, writeStaticFiles } from "./container-network.ts";
import { removeContainer } from "./container-remove.ts";
import { cancelRestart, clearRunDirectory, watchExit } from "./container-exit.ts";
import type { Container, NetworkAttachment, PendingAttach, RunningProcess } from "./container.ts";
import { publish, type EngineContext } from "./context.ts";
import { startHealthMonitor } from "./health.ts";
import { logTarget } from "./log-config.ts";
import { checkPropagation, prepareMountSources } from "./mount-sources.ts";
import { containerPaths } from "./paths.ts";
import { mountImages, unmountImages } from "./image-mounts.ts";
import { mountSharedMemory, unmountSharedMemory } from "./shared-memory.ts";
import { holdNamespaces } from "./held-namespaces.ts";
import { discard } from "./stems.ts";
import { StartSteps, stepsLabel } from "./start-steps.ts";
import { joinedNamespaces, translate } from "./translate.ts";
import { writeRow } from "./unwritten-rows.ts";

export interface StartOptions {
  /** A restart policy starts it: the count goes up and the delay is remembered. */
  readonly byPolicy?: { readonly delayMs: number };
  /** The start is part of a restart by the user or of the daemon's own start: the count stays. */
  readonly keepCount?: boolean;
  /** For clients that attach to this run and name none; checked already. */
  readonly detachKeys?: string;
}

/** What a daemon needs to adopt a process whose row does not know of it: what the row would have had. */
export interface AdoptFile {
  readonly networks: readonly NetworkAttachment[];
  readonly restartCount: number;
  readonly restartDelayMs: number;
  /** A moment before the start: the start's own time ends with the supervisor. RFC3339Nano. */
  readonly launchedAt: string;
  /** By which the next daemon knows whether the run is alive, whoever answers or does not. Absent in files of earlier versions. */
  readonly identity?: RunIdentity;
}

/**
 * Starts a container; its key must be locked.
 * @throws not-modified when it runs, conflict when it is paused or being removed; else what failed, recorded in the state too
 */
export async function startContainer(
  engine: EngineContext,
  container: Container,
  options: StartOptions = {},
): Promise<void> {
  engine.shuttingDown.throwIfAborted();
  if (container.paused) throw new EngineError("conflict", "cannot start a paused container, try unpause instead");
  if (container.process !== undefined) throw new EngineError("not-modified", "");
  if (container.record.pending !== undefined || container.record.state.status === "dead")
    throw new EngineError("conflict", "container is marked for removal and cannot be started");
  cancelRestart(engine, container);
  container.stopRequested = false;
  // The end of the run before must be known before the next one takes its place.
  if (engine.containers.unwritten.has(container)) await writeRow(engine, container);

  const restartCount = options.byPolicy
    ? container.record.restartCount + 1
    : options.keepCount === true
      ? container.record.restartCount
      : 0;
  const restartDelayMs = options.byPolicy?.delayMs ?? 0;
  try {
    const run = await launch(engine, container, { restartCount, restartDelayMs });
    const startedAt = run.launched.supervisor.startedAt;
    const process: RunningProcess = {
      supervisor: run.launched.supervisor,
      cgroup: run.cgroup,
      startedMs: engine.clock.monotonicMs(),
      detachKeys: options.detachKeys ?? "",
      commits: new Set(),
      launchingExecs: new Set(),
      freezing: false,
      ended: deferred(),
    };
    await using undo = new AsyncDisposableStack();
    undo.defer(() => abandon(engine, container, run));
    engine.containers.update(container, {
      networks: run.networks,
      restartCount,
      restartDelayMs,
      stoppedByUser: false,
      state: {
        status: "running",
        pid: run.launched.supervisor.pid,
        exitCode: 0,
        error: "",
        oomKilled: false,
        startedAt,
        finishedAt: container.record.state.finishedAt,
      },
    });
    container.process = process;
    undo.move();
    completeAdopt(engine, container, run);
    publish(engine, container, "start");
    engine.logger.debug("container started", { id: container.id, pid: run.launched.supervisor.pid });
    watchExit(engine, container, process);
    handOut(run.attach, run.launched.attachments);
    await attachLatecomers(container, process);
    startHealthMonitor(engine, container);
  } catch (error) {
    if (container.process !== undefined) throw error;
    await recordFailedStart(engine, container, error).catch((reason: unknown) =>
      engine.logger.error("a failed start could not be recorded", { error: reason, id: container.id }),
    );
    throw error;
  }
}

/** Ends what was launched, because it could not be written that it runs. */
async function abandon(engine: EngineContext, container: Container, run: Run): Promise<void> {
  const { record } = container;
  run.launched.supervisor.disconnect();
  closeAttachments(engine, run);
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

/** The launch took the pending clients: they get no stream. */
function closeAttachments(engine: EngineContext, { attach, launched }: Run): void {
  for (const { fd } of launched.attachments) engine.sys.close(fd);
  for (const pending of attach) pending.started.resolve(undefined);
}

interface Run {
  readonly launched: Launched;
  readonly adopt: AdoptFile;
  readonly cgroup: RunningProcess["cgroup"];
  readonly networks: readonly NetworkAttachment[];
  readonly attach: readonly PendingAttach[];
}

async function launch(
  engine: EngineContext,
  container: Container,
  counts: Pick<AdoptFile, "restartCount" | "restartDelayMs">,
): Promise<Run> {
  const { record } = container;
  const paths = containerPaths(engine.config, record.id);
  await using undo = new AsyncDisposableStack();

  const steps = new StartSteps(engine.clock);
  const joined = joinedNamespaces(engine, record);
  using held = holdNamespaces(engine.sys, joined);
  const joins = { ...joined, namespaces: held.namespaces };
  const layer = engine.store.containers.get(record.id);
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

  mkdirSync(paths.run, { recursive: true, mode: 0o700 });
  undo.defer(() => clearRunDirectory(engine, record.id));
  if (record.hostConfig.LogConfig.Type === "local")
    mkdirSync(dirname(paths.localLog), { recursive: true, mode: 0o710 });
  if (joins.networkContainer === undefined) writeStaticFiles(engine, record);
  for (const mount of record.mounts)
    if (mount.name !== undefined) {
      const { name } = mount;
      undo.defer(() => void engine.volumes.release(name, record.id));
      await engine.volumes.acquire(name, record.id);
    }
  undo.defer(() => unmountImages(engine, record));
  mountImages(engine, record);
  await prepareMountSources(engine.files, record.mounts);
  // Directories of devices are read in the runtime's few threads: what is on a server that is away must not get there.
  for (const { PathOnHost = "" } of record.hostConfig.Devices ?? [])
    if (PathOnHost.startsWith("/")) await engine.files.kindOf(PathOnHost);
  await checkPropagation(engine.files, record.mounts, engine.config.dataRoot);
  if (record.hostConfig.IpcMode === "shareable") {
    mountSharedMemory(engine, record);
    undo.defer(() => unmountSharedMemory(engine, record));
  }

  steps.done("write the container's files (hostname, resolv.conf), prepare volumes and shared memory");
  const translation = await translate(engine, container, rootFd, layer, joins);
  steps.done("find the user, turn the configuration into an OCI configuration");
  const stem = await engine.stems.claim(record.id, record.cgroupPath, (cgroup) => translation.compile(cgroup).stem);
  undo.defer(() => discard(stem));
  applyResources(stem.cgroup, translation.resources);

  steps.done("take a process that waits in its own namespaces and cgroups, set its limits");
  const networks = await attachNetworks(engine, container, stem.prepared.networkNamespaceFd, stem.link);
  undo.defer(() => detachAll(engine, record.id, networks));
  if (joins.networkContainer === undefined) writeHostsFile(engine, record, networks);

  steps.done("attach the network: interface, address, route, published ports, hosts file");
  const plan = translation.compile(stem.cgroup);
  steps.done(`compile the launch plan: ${plan.operations.length} operations`);
  if (record.imageId !== "" && engine.images.byId(record.imageId)?.config.config?.Labels?.[stepsLabel] !== undefined)
    steps.write(engine.sys, rootFd);

  const { identity } = stem.prepared;
  const adopt: AdoptFile = {
    networks,
    ...counts,
    launchedAt: formatRfc3339Nano(engine.clock.nowNs()),
    ...(identity === undefined ? {} : { identity }),
  };
  writeFileSync(paths.adopt, JSON.stringify(adopt), { mode: 0o600 });
  const attach = takePending(container, undo);
  const request: LaunchRequest = {
    plan,
    rootFd,
    directory: paths.run,
    log: logTarget(record, engine.config),
    openStdin: record.config.OpenStdin === true,
    attach: attach.map((pending) => pending.options),
  };
  // Nothing that can fail may come between the two: the descriptor would be nobody's.
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
  return { launched, adopt, cgroup: stem.cgroup, networks, attach };
}

/** A process that joins a pid namespace is made by the launch. Without its identity the next daemon finds it by the row, if it is there still. */
function completeAdopt(engine: EngineContext, container: Container, { adopt, launched: { supervisor } }: Run): void {
  const { identity } = supervisor;
  if (adopt.identity !== undefined || identity === undefined) return;
  try {
    writeFileSync(containerPaths(engine.config, container.id).adopt, JSON.stringify({ ...adopt, identity }), {
      mode: 0o600,
    });
  } catch (error) {
    engine.logger.warn("writing down which process a container has failed", { error, id: container.id });
  }
}

function applyResources(cgroup: RunningProcess["cgroup"], resources: Resources): void {
  cgroup.apply(resources);
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

function handOut(pending: readonly PendingAttach[], attachments: readonly Attachment[]): void {
  pending.forEach((one, index) => one.started.resolve(attachments[index]));
}

/** Clients that attached while the launch was under way. */
async function attachLatecomers(container: Container, process: RunningProcess): Promise<void> {
  for (const pending of container.pendingAttach) {
    container.pendingAttach.delete(pending);
    try {
      pending.started.resolve(await process.supervisor.attach(pending.options));
    } catch (error) {
      pending.started.reject(error);
    }
  }
}

async function recordFailedStart(engine: EngineContext, container: Container, error: unknown): Promise<void> {
  const { state } = container.record;
  engine.containers.record(container, {
    stoppedByUser: false,
    restartDelayMs: 0,
    state: {
      ...state,
      status: state.status === "restarting" ? "exited" : state.status,
      pid: 0,
      exitCode: exitCodeAfter(error, state.exitCode),
      error: messageOf(error),
    },
  });
  if (container.record.hostConfig.AutoRemove)
    await removeContainer(engine, container, { volumes: true }).catch((reason) =>
      engine.logger.error("removing a container that did not start failed", { error: reason, id: container.id }),
    );
}

/** What fails before the process is made says nothing of it: the code of the last run stays, unless that is 0. */
function exitCodeAfter(error: unknown, before: number): number {
  const ofProcess =
    messageOf(error).startsWith("failed to create task") ||
    isEngineError(error, "executable-not-found") ||
    isEngineError(error, "not-executable");
  return !ofProcess && before !== 0 ? before : exitCodeOfFailedStart(error);
}

/** 127 for what was not found, 126 for what may not be executed, 128 for the rest. */
export function exitCodeOfFailedStart(error: unknown): number {
  const message = messageOf(error);
  if (
    isEngineError(error, "executable-not-found") ||
    /executable file not found|no such file or directory/.test(message)
  )
    return 127;
  if (isEngineError(error, "not-executable") || message.includes("permission denied")) return 126;
  if (message.includes("not a directory")) return 127;
  return 128;
}
