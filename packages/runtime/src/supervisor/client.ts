/** A running container as its supervisor shows it: the contract's Supervisor over one connection. */
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { deferred, EngineError, formatRfc3339Nano, messageOf, type Deferred } from "@fathom/base";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_PATH, SOCK_STREAM, type Sys } from "@fathom/sys";
import type {
  Attachment,
  AttachOptions,
  ExecHandle,
  ExecRequest,
  ExitStatus,
  RunIdentity,
  Supervisor,
} from "../contract.ts";
import { launchFailure } from "./launch-failure.ts";
import { encodePlan, encodeStem } from "../plan/plan-encoding.ts";
import { conditionIn, identifyRun, isDead, signalExactly, signalRun } from "./process-facts.ts";
import { SupervisorConnection } from "./connection.ts";
import {
  attachFlags,
  inlinePlanLimitBytes,
  launchFlags,
  messageTypes,
  SupervisorFailure,
  type Message,
} from "./protocol.ts";
import { WireReader, WireWriter } from "../plan/wire.ts";

export type SupervisorSys = Pick<
  Sys,
  | "socketpair"
  | "close"
  | "open"
  | "dup"
  | "memfdCreate"
  | "sendMessage"
  | "setNonBlocking"
  | "connectUnix"
  | "peerCredentials"
  | "pidfdOpen"
  | "pidfdSendSignal"
>;

/** Name of the exit status in the container's directory. */
export const exitFileName = "exit";

/** The ends of attachments: `remote` go to the supervisor and are closed here, `local` belong to the caller. */
export interface AttachmentPairs {
  readonly local: readonly Attachment[];
  readonly remote: readonly number[];
}

export function openAttachments(sys: Pick<Sys, "socketpair" | "close">, count: number): AttachmentPairs {
  const local: Attachment[] = [];
  const remote: number[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
      local.push({ fd: mine });
      remote.push(theirs);
    }
  } catch (error) {
    closeAll(sys, [...local.map(({ fd }) => fd), ...remote]);
    throw error;
  }
  return { local, remote };
}

export function closeAll(sys: Pick<Sys, "close">, fds: readonly number[]): void {
  for (const fd of fds) sys.close(fd);
}

export function attachMask(options: AttachOptions): number {
  return (
    (options.stdin ? attachFlags.stdin : 0) |
    (options.stdout ? attachFlags.stdout : 0) |
    (options.stderr ? attachFlags.stderr : 0) |
    (options.closeStdin ? attachFlags.closeStdin : 0)
  );
}

/** A plan as it travels: small ones inside the message, others as a memory file that the caller closes. */
export function packPlan(
  sys: Pick<Sys, "memfdCreate">,
  encoded: Uint8Array,
): { readonly inline: Uint8Array; readonly fds: readonly number[]; readonly flag: number } {
  if (encoded.length <= inlinePlanLimitBytes) return { inline: encoded, fds: [], flag: 0 };
  const fd = sys.memfdCreate("fathom-plan", encoded, true);
  return { inline: new Uint8Array(), fds: [fd], flag: launchFlags.planByDescriptor };
}

/**
 * The exit status that a supervisor stored, undefined where there is none.
 * @throws where it cannot be looked for: that is no word of whether there is one
 */
export async function readExitFile(directory: string): Promise<ExitStatus | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, exitFileName), "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null) return undefined;
    const { code, signal, finishedAt } = parsed as Record<string, unknown>;
    if (typeof code !== "number" || typeof signal !== "number" || typeof finishedAt !== "string") return undefined;
    return { code, signal, finishedAt };
  } catch {
    return undefined;
  }
}

function parseExit(reader: WireReader): ExitStatus {
  return { code: reader.u32(), signal: reader.u32(), finishedAt: reader.text() };
}

export interface SupervisorIdentity {
  readonly pid: number;
  readonly supervisorPid: number;
  readonly startedAt: string;
  /** undefined where it could not be found out: then the supervisor's socket alone says whether it is there. */
  readonly run: RunIdentity | undefined;
}

/** Deadlines of requests to a supervisor that does answer: what it was asked for takes that long. */
const execLimitMs = 120_000;
const requestLimitMs = 30_000;
/** A request waits that long for a connection that is being made. */
const connectionPatienceMs = 2000;
const firstRetryMs = 5;
const longestRetryMs = 2000;
/** How long a supervisor may fail to be reached before that is told. */
const untoldMs = 1000;
/** How long a supervisor that was made to go on may take to tell an end that the kernel knows already. */
const finishPatienceMs = 2000;
/** How soon, and how often at least, it is looked whether a supervisor whose container has ended stands still. */
const firstFollowMs = 250;
const longestFollowMs = 5000;
const launchingPollMs = 50;
const SIGKILL = 9;
const SIGCONT = 18;
/** As enum phase in supervisor.h: below it the program does not run yet. */
export const phaseWaiting = 4;

export class SupervisorClient implements Supervisor {
  readonly pid: number;
  readonly supervisorPid: number;
  onReachability: (unreachable: string | undefined) => void = () => undefined;
  readonly #sys: SupervisorSys;
  readonly #directory: string;
  readonly #exit = deferred<ExitStatus>();
  readonly #execs = new Map<string, Deferred<ExitStatus>>();
  #startedAt: string;
  #run: RunIdentity | undefined;
  #connection: SupervisorConnection | undefined;
  /** Resolves with the next connection. */
  #connected = deferred<void>();
  #unreachable: string | undefined;
  /** It has told its state over this connection, and with it every end that was missed. */
  #tookUp = false;
  #lostAtMs = performance.now();
  #retryMs = firstRetryMs;
  #disconnected = false;
  #settled = false;
  #deciding = false;

  /** @param connection One that has answered. Without, `follow` makes it. */
  constructor(
    sys: SupervisorSys,
    directory: string,
    identity: SupervisorIdentity,
    connection: SupervisorConnection | undefined,
  ) {
    this.#sys = sys;
    this.#directory = directory;
    this.pid = identity.pid;
    this.supervisorPid = identity.supervisorPid;
    this.#startedAt = identity.startedAt;
    this.#run = identity.run;
    if (connection === undefined) return;
    this.#tookUp = true;
    this.#use(connection);
  }

  get identity(): RunIdentity | undefined {
    return this.#run;
  }

  get startedAt(): string {
    return this.#startedAt;
  }

  get exit(): Promise<ExitStatus> {
    return this.#exit.promise;
  }

  get unreachable(): string | undefined {
    return this.#unreachable;
  }

  /** Begins to look for the supervisor of a run that was found without it. */
  follow(reason: string): void {
    this.#setUnreachable(reason);
    void this.#reconnect(reason);
  }

  /** Takes a connection that was made, whether it answers yet or not. */
  followOver(connection: SupervisorConnection, reason: string): void {
    this.#setUnreachable(reason);
    this.#use(connection);
    this.#takeUp(connection);
  }

  #setUnreachable(reason: string | undefined): void {
    const words =
      reason === undefined
        ? undefined
        : `the container's supervisor (process ${this.supervisorPid === 0 ? "unknown" : this.supervisorPid}) cannot be reached: ${reason}; the container runs on, and can be stopped, killed and removed`;
    if (this.#unreachable === words) return;
    this.#unreachable = words;
    if (!this.#settled && !this.#disconnected) this.onReachability(words);
  }

  #use(connection: SupervisorConnection): void {
    this.#connection = connection;
    connection.onMessage = (message) => this.receive(message);
    connection.onSuspect = () => void this.#onSuspect(connection);
    connection.onSilence = (reason) => {
      this.#setUnreachable(reason);
      if (reason === undefined && !this.#tookUp) this.#takeUp(connection);
    };
    void connection.closed.then((reason) => {
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      if (this.#tookUp) this.#lostAtMs = performance.now();
      this.#tookUp = false;
      this.#connected = deferred();
      if (this.#settled && !this.#disconnected) void this.#exit.promise.then((status) => this.#endExecs(status));
      void this.#reconnect(reason);
    });
  }

  get #over(): boolean {
    return this.#disconnected || this.#settled;
  }

  /** Makes a connection, with ever longer pauses until one gives an answer; ends when the supervisor is known to be dead. */
  async #reconnect(reason: string): Promise<void> {
    let why = reason;
    let nobody = false;
    while (!this.#over) {
      const long = performance.now() - this.#lostAtMs >= untoldMs;
      if (long) this.#setUnreachable(why);
      if (await this.#isDecided(nobody, long)) return;
      await pause(this.#retryMs);
      if (this.#over) return;
      this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
      try {
        const { connection } = connectSupervisor(this.#sys, this.#directory);
        this.#use(connection);
        this.#connected.resolve();
        this.#takeUp(connection);
        return;
      } catch (error) {
        nobody = isNobodyThere(error);
        // The connection's own end says more than that nobody listens.
        if (!nobody) why = messageOf(error);
      }
    }
  }

  /** What was missed is told again by the supervisor, behind its state. */
  #takeUp(connection: SupervisorConnection): void {
    connection.request(messageTypes.state, new Uint8Array(), [], {}).then(
      (answer) => {
        let state: SupervisorState;
        try {
          state = readState(answer);
        } catch (error) {
          connection.misunderstood(error);
          return;
        }
        this.#tookUp = true;
        this.#retryMs = firstRetryMs;
        this.#setUnreachable(undefined);
        // In the middle of a launch: it is looked at again.
        if (state.phase < phaseWaiting) {
          setTimeout(() => this.#takeUp(connection), launchingPollMs);
          return;
        }
        this.#startedAt = state.startedAt;
        this.#run ??= identifyRun(state.pid, state.supervisorPid);
      },
      () => undefined,
    );
  }

  /**
   * The end of the run, decided by what the kernel and the disk say. True when it is.
   * @param nobodyListens Nobody listens on its socket. Where the run's identity is not known, that must do.
   * @param long The supervisor has not done its work for a while.
   */
  async #isDecided(nobodyListens: boolean, long: boolean): Promise<boolean> {
    const supervisor = this.#run === undefined ? undefined : conditionIn(this.#run, "supervisor");
    const dead = supervisor === undefined ? nobodyListens : isDead(supervisor);
    // In this order: it may write the status between the two looks, and not after its death.
    let stored: ExitStatus | undefined;
    try {
      stored = await readExitFile(this.#directory);
    } catch {
      return false;
    }
    if (stored !== undefined && (dead || long)) return this.#settle(stored);
    if (dead) return this.#settle({ code: 255, signal: 0, finishedAt: timeNow(), lost: "supervisor was killed" });
    if (!long || this.#run === undefined) return false;
    const process = conditionIn(this.#run, "process");
    // Also where it has asked for the status and stands still before it told it: it alone knows it.
    if ((process.kind === "ending" || process.kind === "gone") && supervisor?.kind === "stopped") {
      await this.#letGoOn(this.#run, () => this.#over);
      return this.#over;
    }
    // A supervisor that works asks for the status at once. One that has asked for it alone knows it: "gone" decides nothing.
    if (process.kind !== "ended" || process.waitStatus === undefined) return false;
    return this.#endWithout(this.#run, process.waitStatus);
  }

  /**
   * The container is ending, and waits for its other processes: those of execs are children of the supervisor, which stands still and so does not ask for
   * their statuses. Nothing but the end is left to come: the supervisor is made to go on, and where it does not (a debugger has it), it goes.
   */
  async #letGoOn(run: RunIdentity, enough: () => boolean): Promise<void> {
    signalExactly(this.#sys, run.supervisor, SIGCONT);
    for (let waitedMs = 0; waitedMs < finishPatienceMs; waitedMs += 20) {
      await pause(20);
      if (enough() || conditionIn(run, "supervisor").kind !== "stopped") return;
    }
    signalExactly(this.#sys, run.supervisor, SIGKILL);
  }

  /**
   * After the end its supervisor gives every client the rest of the output, which takes as long as the client reads, and ends by itself. One that stands
   * still on the way would hold them for ever: it is made to go on.
   */
  async #followToItsEnd(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    for (let delayMs = firstFollowMs; ; delayMs = Math.min(delayMs * 2, longestFollowMs)) {
      await pause(delayMs);
      const { kind } = conditionIn(run, "supervisor");
      if (kind === "gone" || kind === "ended" || kind === "unknown") return;
      if (kind === "stopped") await this.#letGoOn(run, () => false);
    }
  }

  /**
   * The container has ended and its supervisor stands still: nothing depends on it any more, so it is made to go on, to write the rest of the log and
   * to tell the end itself. Where it does not, it goes, and the kernel's word counts.
   */
  async #endWithout(run: RunIdentity, waitStatus: number): Promise<boolean> {
    const status: ExitStatus = { ...exitOf(waitStatus), finishedAt: timeNow() };
    signalExactly(this.#sys, run.supervisor, SIGCONT);
    for (let waitedMs = 0; waitedMs < finishPatienceMs; waitedMs += 20) {
      await pause(20);
      if (this.#over) return true;
      const stored = await readExitFile(this.#directory).catch(() => undefined);
      if (stored !== undefined) return this.#settle(stored);
    }
    signalExactly(this.#sys, run.supervisor, SIGKILL);
    return this.#settle(status);
  }

  #settle(status: ExitStatus): true {
    if (this.#over) return true;
    this.#end(status);
    this.#endExecs(status);
    return true;
  }

  #end(status: ExitStatus): void {
    if (!this.#settled) void this.#followToItsEnd().catch(() => undefined);
    this.#settled = true;
    this.#exit.resolve(status);
  }

  /** What became of them nobody knows any more. */
  #endExecs(status: ExitStatus): void {
    for (const waiting of this.#execs.values()) waiting.resolve({ ...status, code: 255 });
    this.#execs.clear();
  }

  /** It is connected, owes an answer and does not give it. */
  async #onSuspect(connection: SupervisorConnection): Promise<void> {
    if (this.#deciding) return;
    this.#deciding = true;
    try {
      if (this.#run !== undefined && conditionIn(this.#run, "supervisor").kind === "stopped")
        connection.giveUp(
          `it is stopped, by a signal or a debugger ("kill -CONT ${this.supervisorPid}" lets it go on)`,
        );
      await this.#isDecided(false, true);
    } finally {
      this.#deciding = false;
    }
  }

  /** The connection, or the one that is being made. @throws unavailable */
  async #reach(): Promise<SupervisorConnection> {
    if (this.#connection === undefined && !this.#over) {
      const timer = new AbortController();
      await Promise.race([this.#connected.promise, pause(connectionPatienceMs, timer.signal)]);
      timer.abort();
    }
    if (this.#connection !== undefined) return this.#connection;
    if (this.#over) throw new EngineError("conflict", "the container has ended");
    throw new EngineError("unavailable", this.#unreachable ?? "the container's supervisor cannot be reached");
  }

  /** What the supervisor says unasked. */
  receive(message: Message): void {
    const reader = new WireReader(message.payload);
    if (message.type === messageTypes.exit) {
      const status = parseExit(reader);
      this.#end(status);
      return;
    }
    if (message.type !== messageTypes.execExit) return;
    const id = reader.text();
    const status = parseExit(reader);
    // One that nobody waits for was begun by the daemon before.
    this.#execs.get(id)?.resolve(status);
    this.#execs.delete(id);
  }

  async attach(options: AttachOptions, signal?: AbortSignal): Promise<Attachment> {
    const connection = this.#connection ?? (await this.#reach());
    const pairs = openAttachments(this.#sys, 1);
    const payload = new WireWriter().text("").u32(attachMask(options)).finish();
    const answer = this.#ask(
      connection,
      messageTypes.attach,
      payload,
      pairs.remote,
      "attaching to the container",
      signal,
    );
    closeAll(this.#sys, pairs.remote);
    try {
      await answer;
    } catch (error) {
      closeAll(
        this.#sys,
        pairs.local.map(({ fd }) => fd),
      );
      throw error;
    }
    return pairs.local[0]!;
  }

  async exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecHandle> {
    const { execId, plan, openStdin, attach } = request;
    const connection = this.#connection ?? (await this.#reach());
    const exit = deferred<ExitStatus>();
    const sent: number[] = [];
    let local: readonly Attachment[] = [];
    try {
      const planned = packPlan(this.#sys, encodePlan(plan));
      sent.push(...planned.fds);
      const pairs = openAttachments(this.#sys, attach.length);
      sent.push(...pairs.remote);
      ({ local } = pairs);
      const writer = new WireWriter(4096 + planned.inline.length);
      writer.text(execId).u32((openStdin ? launchFlags.openStdin : 0) | planned.flag);
      encodeStem(writer, plan.stem);
      writer.list(attach, (options) => writer.u32(attachMask(options))).bytes(planned.inline);
      this.#execs.set(execId, exit);
      const answer = connection.request(messageTypes.exec, writer.finish(), sent, {
        deadlineMs: execLimitMs,
        signal,
        // Nobody knows of it any more.
        late: () => void this.signal(SIGKILL, execId).catch(() => undefined),
      });
      closeAll(this.#sys, sent.splice(0));
      const reader = new WireReader(await answer);
      return { execId, pid: reader.u32(), attachments: local, exit: exit.promise };
    } catch (error) {
      this.#execs.delete(execId);
      closeAll(this.#sys, [...sent, ...local.map(({ fd }) => fd)]);
      throw launchFailure(error, plan, "exec");
    }
  }

  async signal(signal: number, execId = ""): Promise<void> {
    if (execId === "" && this.#run !== undefined) {
      const sent = signalRun(this.#sys, this.#run, signal);
      // The end that follows is the supervisor's to tell: where it does not answer, the kernel is asked.
      this.#connection?.probe();
      if (sent === "sent") return;
      if (sent === "gone")
        throw new EngineError("conflict", `signal ${signal}: the container's first process has ended`);
    }
    const payload = new WireWriter().text(execId).u32(signal).finish();
    await this.#request(messageTypes.signal, payload, [], `signal ${signal}`);
  }

  async resize(rows: number, columns: number, execId = ""): Promise<void> {
    const payload = new WireWriter().text(execId).u32(rows).u32(columns).finish();
    await this.#request(messageTypes.resize, payload, [], "resizing the terminal");
  }

  async start(): Promise<void> {
    await this.#request(messageTypes.start, new Uint8Array(), [], "starting the created process");
  }

  async reopenLog(): Promise<void> {
    await this.#request(messageTypes.reopenLog, new Uint8Array(), [], "reopening the log");
  }

  probe(): void {
    this.#connection?.probe();
  }

  disconnect(): void {
    this.#disconnected = true;
    this.#connection?.close();
  }

  async #request(type: number, payload: Uint8Array, fds: readonly number[], action: string): Promise<void> {
    await this.#ask(this.#connection ?? (await this.#reach()), type, payload, fds, action);
  }

  async #ask(
    connection: SupervisorConnection,
    type: number,
    payload: Uint8Array,
    fds: readonly number[],
    action: string,
    signal?: AbortSignal,
  ): Promise<void> {
    try {
      await connection.request(type, payload, fds, { deadlineMs: requestLimitMs, signal });
    } catch (error) {
      if (!(error instanceof SupervisorFailure)) throw error;
      const ESRCH = 3;
      const EALREADY = 114;
      const code = error.errno === ESRCH || error.errno === EALREADY ? "conflict" : "internal";
      throw new EngineError(code, `${action}: ${messageOf(error)}`, { cause: error });
    }
  }
}

function timeNow(): string {
  return formatRfc3339Nano(BigInt(Date.now()) * 1_000_000n);
}

/** As a shell shows a status of waitpid(2). */
function exitOf(waitStatus: number): Pick<ExitStatus, "code" | "signal"> {
  const signal = waitStatus & 0x7f;
  return { code: signal === 0 ? (waitStatus >> 8) & 0xff : 128 + signal, signal };
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    timer.unref();
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}

/** @throws SysError when there is nobody, or no descriptor is left, or its queue is full */
export function connectSupervisor(
  sys: SupervisorSys,
  directory: string,
): { readonly connection: SupervisorConnection; readonly peerPid: number } {
  const directoryFd = sys.open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    const fd = sys.connectUnix(directoryFd, "supervisor.sock");
    try {
      // Whoever began to listen there: known also of one that answers nothing.
      const peerPid = sys.peerCredentials(fd).pid;
      return { connection: new SupervisorConnection(sys, fd), peerPid };
    } catch (error) {
      sys.close(fd);
      throw error;
    }
  } finally {
    sys.close(directoryFd);
  }
}

export interface SupervisorState {
  readonly phase: number;
  readonly pid: number;
  readonly supervisorPid: number;
  readonly startedAt: string;
}

export function readState(payload: Uint8Array): SupervisorState {
  const reader = new WireReader(payload);
  return { phase: reader.u32(), pid: reader.u32(), supervisorPid: reader.u32(), startedAt: reader.text() };
}

/** True for "no such file" and "nobody listens": a directory whose supervisor has ended. */
export function isNobodyThere(error: unknown): boolean {
  return isSysError(error, "ENOENT", "ECONNREFUSED", "ENOTDIR");
}
