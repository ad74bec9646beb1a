/**
 * Starts containers: spawns one fathom-init for each, has it make the process (prepare), then execute the plan (launch). Finds running ones
 * again by their directory.
 */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY, SOCK_STREAM, type Sys } from "@fathom/sys";
import type { Launched, Launcher, LaunchRequest, PreparedStem } from "./contract.ts";
import { launchError } from "./launch-error.ts";
import { encodePlan, encodeStem } from "./plan-encoding.ts";
import type { LaunchPlan } from "./plan.ts";
import { SupervisorConnection } from "./supervisor-connection.ts";
import { launchFlags, messageTypes } from "./supervisor-protocol.ts";
import {
  attachMask,
  closeAll,
  isNobodyThere,
  openAttachments,
  packPlan,
  readExitFile,
  SupervisorClient,
  type AttachmentPairs,
} from "./supervisor.ts";
import { WireReader, WireWriter } from "./wire.ts";

export type LauncherSys = Pick<
  Sys,
  | "socketpair"
  | "spawn"
  | "close"
  | "open"
  | "kill"
  | "waitpid"
  | "connectUnix"
  | "memfdCreate"
  | "sendMessage"
  | "setNonBlocking"
>;

export interface LauncherOptions {
  readonly sys: LauncherSys;
  /** Descriptor of fathom-init: `helperExecutable` of @fathom/sys/helper. */
  readonly executable: () => number;
  /** Shown by ps: "fathom-init: <title>". */
  readonly title?: (stem: LaunchPlan["stem"]) => string;
  /** Descriptor for what a supervisor may print, /dev/null when absent. */
  readonly logFd?: number;
}

const SIGKILL = 9;
const discardLimitMs = 5000;
/** What ps shows goes where the arguments were: they make room for it. */
const titleRoom = " ".repeat(160);

export function createLauncher(options: LauncherOptions): Launcher {
  const { sys } = options;
  return {
    prepare: (stem, signal) => prepare(options, stem, signal),
    async reconnect(directory) {
      const supervisor = await connectTo(sys, directory);
      if (supervisor !== undefined) return { kind: "running", supervisor };
      const exit = await readExitFile(directory);
      return exit === undefined ? { kind: "gone" } : { kind: "exited", exit };
    },
  };
}

/** A child must be waited for, or it stays as a zombie. It ends within moments of its socket: looked at again, ever less often. */
function reap(sys: LauncherSys, pid: number): void {
  let delayMs = 1;
  const look = (): void => {
    try {
      if (sys.waitpid(pid) !== undefined) return;
    } catch {
      return;
    }
    delayMs = Math.min(delayMs * 2, 1000);
    setTimeout(look, delayMs).unref();
  };
  look();
}

/** Signals a supervisor that is our own, not yet reaped child: its number cannot have been given to another process. */
function killSupervisor(sys: LauncherSys, pid: number): void {
  try {
    sys.kill(pid, SIGKILL);
  } catch (error) {
    if (!isSysError(error, "ESRCH")) throw error;
  }
}

async function prepare(
  { sys, executable, title, logFd }: LauncherOptions,
  stem: LaunchPlan["stem"],
  signal?: AbortSignal,
): Promise<PreparedStem> {
  signal?.throwIfAborted();
  const [mine, theirs] = sys.socketpair(SOCK_STREAM, false);
  let supervisorPid: number;
  try {
    supervisorPid = sys.spawn({
      executableFd: executable(),
      argv: ["fathom-init", titleRoom],
      env: [],
      fds: [-1, -1, logFd ?? -1, theirs],
      newSession: true,
    });
  } catch (error) {
    sys.close(mine);
    throw new EngineError("internal", "starting fathom-init failed", { cause: error });
  } finally {
    sys.close(theirs);
  }
  const connection = new SupervisorConnection(sys, mine);
  void connection.closed.then(() => reap(sys, supervisorPid));
  const writer = new WireWriter();
  encodeStem(writer, stem);
  writer.text(`fathom-init: ${title?.(stem) ?? ""}`);
  try {
    const answer = await withAbort(connection.request(messageTypes.prepare, writer.finish()), signal, () =>
      killSupervisor(sys, supervisorPid),
    );
    const pid = new WireReader(answer).u32();
    return new Prepared(sys, connection, supervisorPid, pid, stem.newNamespaces.includes("network"));
  } catch (error) {
    await connection.closed;
    throw signal?.aborted === true ? error : launchError(error, { operations: [] }, "create");
  }
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
  readonly #sys: LauncherSys;
  readonly #connection: SupervisorConnection;
  #networkNamespaceFd: number | undefined;
  #used = false;

  constructor(
    sys: LauncherSys,
    connection: SupervisorConnection,
    supervisorPid: number,
    pid: number,
    ownNetwork: boolean,
  ) {
    this.#sys = sys;
    this.#connection = connection;
    this.supervisorPid = supervisorPid;
    this.pid = pid;
    this.#networkNamespaceFd = ownNetwork ? sys.open(`/proc/${pid}/ns/net`, O_RDONLY | O_CLOEXEC) : undefined;
    void connection.closed.then(() => this.#closeNamespace());
  }

  get networkNamespaceFd(): number | undefined {
    return this.#networkNamespaceFd;
  }

  /** True while the process waits for its plan. A pool throws away the others. */
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

  async launch(request: LaunchRequest, signal?: AbortSignal): Promise<Launched> {
    const sent: number[] = request.rootFd === undefined ? [] : [request.rootFd];
    let pairs: AttachmentPairs = { local: [], remote: [] };
    try {
      if (this.#used) throw new EngineError("internal", "a prepared process can be launched once");
      this.#used = true;
      signal?.throwIfAborted();
      const plan = packPlan(this.#sys, encodePlan(request.plan));
      sent.push(...plan.fds);
      pairs = openAttachments(this.#sys, request.attach.length);
      sent.push(...pairs.remote);
      sent.unshift(this.#sys.open(request.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      const answer = this.#connection.request(messageTypes.launch, launchPayload(request, plan), sent);
      closeAll(this.#sys, sent.splice(0));
      const reader = new WireReader(
        await withAbort(answer, signal, () => killSupervisor(this.#sys, this.supervisorPid)),
      );
      const supervisor = new SupervisorClient(this.#sys, this.#connection, request.directory, {
        pid: reader.u32(),
        supervisorPid: this.supervisorPid,
        startedAt: reader.text(),
      });
      this.#closeNamespace();
      return { supervisor, attachments: pairs.local };
    } catch (error) {
      closeAll(this.#sys, [...sent, ...pairs.local.map(({ fd }) => fd)]);
      if (signal?.aborted === true) await this.#kill();
      else await this.discard();
      // Killed, it could not take its socket away.
      await rm(join(request.directory, "supervisor.sock"), { force: true });
      throw signal?.aborted === true ? error : launchError(error, request.plan, "create");
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

function launchPayload(request: LaunchRequest, plan: ReturnType<typeof packPlan>): Uint8Array {
  const { log, openStdin, attach, rootFd } = request;
  const chroot = request.plan.operations.some(({ kind }) => kind === "chroot");
  const writer = new WireWriter(4096 + plan.inline.length);
  writer.u32(
    (openStdin ? launchFlags.openStdin : 0) |
      (log.driver === "none" ? 0 : launchFlags.log) |
      (rootFd === undefined ? 0 : launchFlags.root) |
      (chroot ? launchFlags.chroot : 0) |
      plan.flag,
  );
  writer.text(log.path).u64(BigInt(log.maxSize)).u32(log.maxFiles);
  const attributes = Object.entries(log.attributes ?? {});
  writer.text(attributes.length === 0 ? "" : JSON.stringify(Object.fromEntries(attributes.sort(byName))));
  writer.list(attach, (options) => writer.u32(attachMask(options)));
  return writer.bytes(plan.inline).finish();
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The supervisor that listens in a directory; undefined when none does. */
async function connectTo(sys: LauncherSys, directory: string): Promise<SupervisorClient | undefined> {
  let connection: SupervisorConnection;
  try {
    const directoryFd = sys.open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    try {
      connection = new SupervisorConnection(sys, sys.connectUnix(directoryFd, "supervisor.sock"));
    } finally {
      sys.close(directoryFd);
    }
  } catch (error) {
    if (isNobodyThere(error)) return undefined;
    throw error;
  }
  const early: Parameters<SupervisorClient["receive"]>[0][] = [];
  connection.onMessage = (message) => void early.push(message);
  try {
    const reader = await askState(connection);
    const identity = { pid: reader.u32(), supervisorPid: reader.u32(), startedAt: reader.text() };
    const client = new SupervisorClient(sys, connection, directory, identity);
    for (const message of early) client.receive(message);
    return client;
  } catch {
    // It ended while we asked: what it left on disk says the rest.
    connection.close();
    return undefined;
  }
}

/** As enum phase in supervisor.h: below it the program does not run yet. */
const phaseWaiting = 4;
const launchingPollMs = 5;

/** The state once it is past launching: a daemon may come back in the middle of a launch that another one began. */
async function askState(connection: SupervisorConnection): Promise<WireReader> {
  for (;;) {
    const reader = new WireReader(await connection.request(messageTypes.state, new Uint8Array()));
    if (reader.u32() >= phaseWaiting) return reader;
    await new Promise((resolve) => setTimeout(resolve, launchingPollMs));
  }
}
