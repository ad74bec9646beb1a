/**
 * Starts containers: spawns one fathom-init for each, has it make the process (prepare), then execute the plan (launch). Finds running ones
 * again by their directory.
 */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { EngineError, messageOf } from "@fathom/base";
import {
  errnoText,
  isSysError,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  SOCK_STREAM,
  type SpawnRequest,
  type Sys,
} from "@fathom/sys";
import type {
  AttachOptions,
  DirectIo,
  DirectRun,
  KnownRun,
  Launched,
  Launcher,
  LaunchRequest,
  LogSink,
  PreparedStem,
  RunIdentity,
  SupervisedIo,
  Supervisor,
} from "../contract.ts";
import { directDescriptors, DirectProcess, endProcess, writePidFile, type SupervisorChild } from "./direct-run.ts";
import { LaunchFailure, launchFailure } from "./launch-failure.ts";
import { encodePlan, encodeStem } from "../plan/plan-encoding.ts";
import type { LaunchPlan } from "../plan/plan.ts";
import {
  conditionIn,
  conditionOf,
  identify,
  identifyByProcess,
  identifyChildren,
  identifyBySupervisor,
  identifyRun,
  isDead,
  signalExactly,
} from "./process-facts.ts";
import { SupervisorConnection } from "./connection.ts";
import { launchFlags, messageTypes, SupervisorFailure } from "./protocol.ts";
import {
  attachMask,
  closeAll,
  connectSupervisor,
  isNobodyThere,
  openAttachments,
  packPlan,
  phaseWaiting,
  readExitFile,
  readState,
  SupervisorClient,
  type AttachmentPairs,
  type SupervisorState,
  type SupervisorSys,
} from "./client.ts";
import { WireReader, WireWriter } from "../plan/wire.ts";

export type LauncherSys = SupervisorSys & Pick<Sys, "spawn" | "kill" | "waitpid">;

export interface LauncherOptions {
  readonly sys: LauncherSys;
  /** Descriptor of fathom-init: `helperExecutable` of @fathom/sys. */
  readonly executable: () => number;
  /** Shown by ps: "fathom-init: <title>". */
  readonly title?: (stem: LaunchPlan["stem"]) => string;
  /** Descriptor for what a supervisor may print, /dev/null when absent. */
  readonly logFd?: number;
  /** Where supervisors live, so that what ends the daemon or its cgroup does not end them. Absent: beside the daemon. */
  readonly place?: SupervisorPlace;
}

export interface SupervisorPlace {
  /** Files by which a process joins its cgroups, as `Cgroup.procsFiles`. */
  readonly cgroupProcs: readonly string[];
  /**
   * The cgroup of v2 among them, as a descriptor of its directory: who is born there need not move there, which would stop every fork and exit of
   * the machine for a moment.
   */
  readonly birthplace?: { readonly directoryFd: number; readonly procsFile: string };
  /** A container's own score is an operation of its plan. */
  readonly oomScoreAdj: number;
  /** The supervisor then does its work where it is. */
  onFailure(error: EngineError): void;
}

const SIGKILL = 9;
const discardLimitMs = 5000;
/** Limits of a supervisor that does answer, and whose child does not come to an end with it: mounts on a slow server, a disk that hangs. */
const prepareLimitMs = 60_000;
const launchLimitMs = 120_000;
/** As many as a launch can say. */
const mostLogFiles = 2 ** 32 - 1;
/** What is larger is no limit. */
const mostLogBytes = Number.MAX_SAFE_INTEGER;
/** How often it is looked whether a process that is to execute its plan is stopped, and how often it must be. */
const stoppedLookMs = 500;
const stoppedLooks = 3;
/** How long a starting daemon waits for a supervisor's state before it takes the container up without. */
const reconnectPatienceMs = 500;
/** What ps shows goes where the arguments were: they make room for it. */
const titleRoom = " ".repeat(160);

export function createLauncher(options: LauncherOptions): Launcher {
  const { sys } = options;
  return {
    prepare: (stem, signal) => prepare(options, stem, signal),
    reconnect: (directory, known) => reconnect(sys, directory, known),
    assume: (directory, known, reason) => assume(sys, directory, known, reason),
  };
}

/** A child must be waited for, or it stays as a zombie. It ends within moments of its socket: looked at again, ever less often. */
async function reap(sys: LauncherSys, pid: number): Promise<void> {
  for (let delayMs = 1; ; delayMs = Math.min(delayMs * 2, 1000)) {
    try {
      if (sys.waitpid(pid) !== undefined) return;
    } catch {
      return;
    }
    await new Promise<void>((resolve) => void setTimeout(resolve, delayMs).unref());
  }
}

/**
 * Signals a supervisor that is our own, not yet reaped child: its number cannot have been given to another process. What it has made ends with it, but for what
 * stands still since before it asked for that, and holds a copy of its descriptors.
 */
function killSupervisor(sys: LauncherSys, pid: number): void {
  const children = identifyChildren(pid);
  try {
    sys.kill(pid, SIGKILL);
  } catch (error) {
    if (!isSysError(error, "ESRCH")) throw error;
  }
  for (const child of children) signalExactly(sys, child, SIGKILL);
}

async function prepare(
  { sys, executable, title, logFd, place }: LauncherOptions,
  stem: LaunchPlan["stem"],
  signal?: AbortSignal,
): Promise<PreparedStem> {
  signal?.throwIfAborted();
  const [mine, theirs] = sys.socketpair(SOCK_STREAM, false);
  let supervisorPid: number;
  let procsFiles = place?.cgroupProcs ?? [];
  try {
    const request: SpawnRequest = {
      executableFd: executable(),
      argv: ["fathom-init", titleRoom],
      env: [],
      fds: [-1, -1, logFd ?? -1, theirs],
      newSession: true,
    };
    const born =
      place?.birthplace === undefined ? undefined : spawnInCgroup(sys, request, place.birthplace.directoryFd);
    supervisorPid = born ?? sys.spawn(request);
    if (born !== undefined) procsFiles = procsFiles.filter((file) => file !== place?.birthplace?.procsFile);
  } catch (error) {
    sys.close(mine);
    throw new EngineError("internal", "starting fathom-init failed", { cause: error });
  } finally {
    sys.close(theirs);
  }
  const connection = new SupervisorConnection(sys, mine);
  const reaped = connection.closed.then(() => reap(sys, supervisorPid));
  giveUpWhenStopped(connection, supervisorPid);
  const looks = giveUpWhenChildStopped(connection, supervisorPid);
  try {
    const writer = new WireWriter();
    encodeStem(writer, stem);
    writer.text(`fathom-init: ${title?.(stem) ?? ""}`);
    const prepared = connection.request(messageTypes.prepare, writer.finish(), [], { deadlineMs: prepareLimitMs });
    // After the stem is born, which must not have the supervisor's score while it waits; the two join their cgroups at the same time.
    if (place !== undefined) void moveSupervisor(connection, place, procsFiles);
    const answer = await withAbort(prepared, signal, () => killSupervisor(sys, supervisorPid));
    const pid = new WireReader(answer).u32();
    return new Prepared(sys, connection, { pid: supervisorPid, reaped }, pid, stem);
  } catch (error) {
    // One that refused ends by itself; of one that did not answer there is nothing to wait for.
    if (error instanceof SupervisorFailure) await endWithin(connection.closed, discardLimitMs);
    if (connection.isOpen) killSupervisor(sys, supervisorPid);
    await connection.closed;
    throw signal?.aborted === true ? error : launchFailure(error, { operations: [] }, "stem");
  } finally {
    clearInterval(looks);
  }
}

/** undefined where the kernel does not do it: the process is moved then. */
function spawnInCgroup(sys: LauncherSys, request: SpawnRequest, cgroupFd: number): number | undefined {
  try {
    return sys.spawn({ ...request, cgroupFd });
  } catch {
    return undefined;
  }
}

/** Never rejects. */
async function moveSupervisor(
  connection: SupervisorConnection,
  place: SupervisorPlace,
  procsFiles: readonly string[],
): Promise<void> {
  const payload = new WireWriter();
  payload.list(procsFiles, (file) => payload.text(file));
  try {
    await connection.request(messageTypes.place, payload.text(String(place.oomScoreAdj)).finish());
  } catch (error) {
    const ENOSYS = 38;
    // A refusal alone says something of the place.
    if (error instanceof SupervisorFailure && error.errno !== ENOSYS)
      place.onFailure(
        new EngineError("internal", `${error.call} ${error.detail}: ${errnoText(error.errno)}`, { cause: error }),
      );
  }
}

/** A stem or a launch with a supervisor that is stopped is not waited for: nothing of it runs yet. */
function giveUpWhenStopped(connection: SupervisorConnection, supervisorPid: number): void {
  const supervisor = identify(supervisorPid);
  connection.onSuspect = () => {
    if (supervisor !== undefined && conditionOf(supervisor).kind === "stopped")
      connection.giveUp(`it (process ${supervisorPid}) is stopped, by a signal or a debugger`);
  };
}

/** Its supervisor answers, and the process that should make itself a container, or one on the way to it, does not go on. */
function giveUpWhenChildStopped(
  connection: SupervisorConnection,
  supervisorPid: number,
): ReturnType<typeof setInterval> {
  let stopped = 0;
  return setInterval(() => {
    const child = identifyChildren(supervisorPid).find((one) => conditionOf(one).kind === "stopped");
    stopped = child === undefined ? 0 : stopped + 1;
    // Once may be the program's own doing, which has begun a moment ago.
    if (stopped === stoppedLooks)
      connection.giveUp(
        `the process that it made for the container (${child?.pid}) is stopped, by a signal or a debugger`,
      );
  }, stoppedLookMs);
}

async function endWithin(end: Promise<unknown>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([
    end,
    new Promise((resolve) => {
      timer = setTimeout(resolve, ms);
    }),
  ]);
  clearTimeout(timer);
}

/** Rejects with the signal's reason when it fires first, after `abort` has been called. */
async function withAbort<T>(work: Promise<T>, signal: AbortSignal | undefined, abort: () => void): Promise<T> {
  if (signal === undefined) return work;
  const onAbort = (): void => abort();
  if (signal.aborted) abort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    const result = await work;
    // The answer may have been on its way when the signal fired: what it tells of has been ended since.
    signal.throwIfAborted();
    return result;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

class Prepared implements PreparedStem {
  readonly pid: number;
  readonly supervisorPid: number;
  readonly identity: RunIdentity | undefined;
  readonly #sys: LauncherSys;
  readonly #connection: SupervisorConnection;
  readonly #reaped: Promise<void>;
  #networkNamespaceFd: number | undefined;
  #used = false;

  constructor(
    sys: LauncherSys,
    connection: SupervisorConnection,
    supervisor: SupervisorChild,
    pid: number,
    stem: LaunchPlan["stem"],
  ) {
    this.#sys = sys;
    this.#connection = connection;
    this.supervisorPid = supervisor.pid;
    this.#reaped = supervisor.reaped;
    this.pid = pid;
    // A joined pid namespace has its process made later, by this one.
    this.identity = stem.joinPidNamespace === undefined ? identifyRun(pid, supervisor.pid) : undefined;
    const ownNetwork = stem.newNamespaces.includes("network");
    this.#networkNamespaceFd = ownNetwork ? sys.open(`/proc/${pid}/ns/net`, O_RDONLY | O_CLOEXEC) : undefined;
    void connection.closed.then(() => this.#closeNamespace());
  }

  get networkNamespaceFd(): number | undefined {
    return this.#networkNamespaceFd;
  }

  get usable(): boolean {
    return !this.#used && this.#alive;
  }

  get #alive(): boolean {
    return this.#connection.isOpen;
  }

  #closeNamespace(): void {
    if (this.#networkNamespaceFd === undefined) return;
    this.#sys.close(this.#networkNamespaceFd);
    this.#networkNamespaceFd = undefined;
  }

  async launch(request: LaunchRequest<SupervisedIo>, signal?: AbortSignal): Promise<Launched> {
    const { io, directory } = request;
    let pairs: AttachmentPairs = { local: [], remote: [] };
    const open = (sent: number[]): void => {
      pairs = openAttachments(this.#sys, io.attach.length);
      sent.push(...pairs.remote);
      if (io.log.kind === "descriptor") sent.push(this.#sys.dup(io.log.fd));
    };
    try {
      const { pid, startedAt } = await this.#execute(request, open, signal);
      const run = this.identity ?? identifyRun(pid, this.supervisorPid);
      const identity = { pid, supervisorPid: this.supervisorPid, startedAt, run };
      return {
        supervisor: new SupervisorClient(this.#sys, directory, identity, this.#connection),
        attachments: pairs.local,
      };
    } catch (error) {
      closeAll(
        this.#sys,
        pairs.local.map(({ fd }) => fd),
      );
      throw error;
    }
  }

  async launchDirect(request: LaunchRequest<DirectIo>, signal?: AbortSignal): Promise<DirectRun> {
    const { io, plan } = request;
    const open = (sent: number[]): void => {
      for (const fd of directDescriptors(io, plan)) sent.push(this.#sys.dup(fd));
    };
    const { pid, startedAt } = await this.#execute(request, open, signal);
    const process = this.identity?.process ?? identify(pid);
    const waits = plan.operations.some(({ kind }) => kind === "wait-start");
    const run = new DirectProcess({
      sys: this.#sys,
      connection: this.#connection,
      directory: request.directory,
      supervisor: { pid: this.supervisorPid, reaped: this.#reaped },
      pid,
      process,
      startedAt,
    });
    try {
      if (io.pidFile !== undefined) await writePidFile(io.pidFile, pid);
      if (!waits) await run.released();
      signal?.throwIfAborted();
      return run;
    } catch (error) {
      await endProcess(this.#sys, process);
      if (io.pidFile !== undefined) await rm(io.pidFile, { force: true });
      await this.#kill();
      await endWithin(this.#reaped, discardLimitMs);
      await rm(join(request.directory, "supervisor.sock"), { force: true });
      throw signal?.aborted === true ? error : LaunchFailure.of("launch", error);
    }
  }

  /**
   * Has the plan executed.
   * @param open Adds the descriptors that go behind the plan's, which are closed here whatever happens.
   */
  async #execute(
    request: LaunchRequest,
    open: (sent: number[]) => void,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly pid: number; readonly startedAt: string }> {
    const sent: number[] = request.rootFd === undefined ? [] : [request.rootFd];
    if (this.#used) {
      closeAll(this.#sys, sent);
      throw new EngineError("internal", "a prepared process can be launched once");
    }
    this.#used = true;
    let asked = false;
    let looks: ReturnType<typeof setInterval> | undefined;
    try {
      signal?.throwIfAborted();
      const plan = packPlan(this.#sys, encodePlan(request.plan));
      sent.push(...plan.fds);
      open(sent);
      sent.unshift(this.#sys.open(request.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      asked = true;
      const answer = this.#connection.request(messageTypes.launch, launchPayload(request, plan), sent, {
        deadlineMs: launchLimitMs,
      });
      looks = giveUpWhenChildStopped(this.#connection, this.supervisorPid);
      closeAll(this.#sys, sent.splice(0));
      const reader = new WireReader(
        await withAbort(answer, signal, () => killSupervisor(this.#sys, this.supervisorPid)),
      );
      const pid = reader.u32();
      const startedAt = reader.text();
      this.#closeNamespace();
      return { pid, startedAt };
    } catch (error) {
      closeAll(this.#sys, sent);
      // It would go on without its supervisor.
      if (asked && request.io.kind === "direct") await endProcess(this.#sys, this.identity?.process);
      // One that refused ends by itself. Any other that was asked may have launched it by now, or may do so later.
      if (signal?.aborted === true || (asked && !(error instanceof SupervisorFailure))) await this.#kill();
      else await this.discard();
      if (request.io.kind === "direct") await endWithin(this.#reaped, discardLimitMs);
      // Killed, it could not take its socket away.
      await rm(join(request.directory, "supervisor.sock"), { force: true });
      throw signal?.aborted === true ? error : launchFailure(error, request.plan, "launch");
    } finally {
      clearInterval(looks);
    }
  }

  async discard(): Promise<void> {
    this.#used = true;
    this.#connection.finish();
    // It waits for its child's end; a child that hangs in the kernel must not hold the caller for ever.
    const timer = setTimeout(() => void this.#kill(), discardLimitMs);
    await this.#connection.closed;
    clearTimeout(timer);
    this.#closeNamespace();
  }

  /** The supervisor's end is the stem's: the kernel kills it with its parent, and it is awaited for a moment. */
  async #kill(): Promise<void> {
    if (this.#alive) killSupervisor(this.#sys, this.supervisorPid);
    await this.#connection.closed;
    this.#closeNamespace();
    for (let turn = 0; turn < 500 && isRunning(this.pid); turn++)
      await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** False also for a zombie: whoever adopted it reaps it in its own time. */
function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

const noFile: Omit<Extract<LogSink, { readonly kind: "json-file" }>, "kind"> = { path: "", maxSize: 0, maxFiles: 1 };
/** A log by descriptor is a client of the supervisor's like others. */
const bothOutputs: AttachOptions = { stdin: false, stdout: true, stderr: true, closeStdin: false };
/** A supervisor has none of a direct launch's streams. */
const noStreams: SupervisedIo = { kind: "supervised", log: { kind: "none" }, openStdin: false, attach: [] };

function launchPayload(request: LaunchRequest, plan: ReturnType<typeof packPlan>): Uint8Array {
  const { log, openStdin, attach } = request.io.kind === "direct" ? noStreams : request.io;
  const chroot = request.plan.operations.some(({ kind }) => kind === "chroot");
  const writer = new WireWriter(4096 + plan.inline.length);
  writer.u32(
    (openStdin ? launchFlags.openStdin : 0) |
      (log.kind === "json-file" ? launchFlags.log : 0) |
      (request.rootFd === undefined ? 0 : launchFlags.root) |
      (chroot ? launchFlags.chroot : 0) |
      (request.io.kind === "direct" ? launchFlags.direct : 0) |
      plan.flag,
  );
  const file = log.kind === "json-file" ? log : noFile;
  writer
    .text(file.path)
    .u64(BigInt(Math.min(file.maxSize, mostLogBytes)))
    .u32(Math.min(file.maxFiles, mostLogFiles));
  const attributes = Object.entries(file.attributes ?? {});
  writer.text(attributes.length === 0 ? "" : JSON.stringify(Object.fromEntries(attributes.sort(byName))));
  const clients = log.kind === "descriptor" ? [...attach, bothOutputs] : attach;
  writer.list(clients, (options) => writer.u32(attachMask(options)));
  return writer.bytes(plan.inline).finish();
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function reconnect(
  sys: LauncherSys,
  directory: string,
  known: KnownRun = { identity: undefined, pid: 0, startedAt: "" },
): Promise<Awaited<ReturnType<Launcher["reconnect"]>>> {
  let reason: string;
  let nobody = false;
  try {
    const found = await ask(sys, directory, known);
    if (found.kind === "running") return found;
    reason = found.reason;
  } catch (error) {
    nobody = isNobodyThere(error);
    reason = messageOf(error);
  }
  const run = known.identity ?? identifyByProcess(known.pid);
  try {
    const dead = run === undefined ? nobody : isDead(conditionIn(run, "supervisor"));
    const exit = await readExitFile(directory);
    if (exit !== undefined) return { kind: "exited", exit };
    if (dead) return { kind: "gone" };
  } catch (error) {
    reason = messageOf(error);
  }
  return { kind: "running", supervisor: assume(sys, directory, { ...known, identity: run }, reason) };
}

function assume(sys: LauncherSys, directory: string, known: KnownRun, reason: string): SupervisorClient {
  const run = known.identity ?? identifyByProcess(known.pid);
  const identity = {
    pid: run?.process.pid ?? known.pid,
    supervisorPid: run?.supervisor.pid ?? 0,
    startedAt: known.startedAt,
    run,
  };
  const supervisor = new SupervisorClient(sys, directory, identity, undefined);
  supervisor.follow(reason);
  return supervisor;
}

/** @throws SysError when no connection can be made */
async function ask(
  sys: LauncherSys,
  directory: string,
  known: KnownRun,
): Promise<{ readonly kind: "running"; readonly supervisor: Supervisor } | { readonly kind: "ended"; reason: string }> {
  const { connection, peerPid } = connectSupervisor(sys, directory);
  const early: Parameters<SupervisorClient["receive"]>[0][] = [];
  connection.onMessage = (message) => void early.push(message);
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), reconnectPatienceMs);
  try {
    const { pid, supervisorPid, startedAt } = await askState(connection, abort.signal);
    const run = known.identity ?? identifyRun(pid, supervisorPid);
    const supervisor = new SupervisorClient(sys, directory, { pid, supervisorPid, startedAt, run }, connection);
    for (const message of early) supervisor.receive(message);
    return { kind: "running", supervisor };
  } catch (error) {
    if (!connection.isOpen) return { kind: "ended", reason: messageOf(error) };
    // Connected, and it does not answer: the kernel says who is on the other side.
    const run = known.identity ?? identifyBySupervisor(peerPid);
    const supervisor = new SupervisorClient(
      sys,
      directory,
      {
        pid: run?.process.pid ?? known.pid,
        supervisorPid: run?.supervisor.pid ?? peerPid,
        startedAt: known.startedAt,
        run,
      },
      undefined,
    );
    supervisor.followOver(connection, "it has not answered yet");
    for (const message of early) supervisor.receive(message);
    return { kind: "running", supervisor };
  } finally {
    clearTimeout(timer);
  }
}

const launchingPollMs = 5;

/** The state once it is past launching: a daemon may come back in the middle of a launch that another one began. */
async function askState(connection: SupervisorConnection, signal: AbortSignal): Promise<SupervisorState> {
  for (;;) {
    const state = readState(await connection.request(messageTypes.state, new Uint8Array(), [], { signal }));
    if (state.phase >= phaseWaiting) return state;
    await new Promise((resolve) => setTimeout(resolve, launchingPollMs));
    signal.throwIfAborted();
  }
}
