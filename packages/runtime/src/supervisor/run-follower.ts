/**
 * Follows a run over one connection after another, and finds out its end. The end of a connection is only a reason to check: the status on disk
 * and the kernel decide.
 */
import { deferred, EngineError, messageOf, settlesWithin } from "@fathom/base";
import { SIGKILL, SIGCONT, type Sys } from "@fathom/sys";
import type { ExitStatus, RunIdentity } from "../contract.ts";
import type { SupervisorConnection } from "../connection/connection.ts";
import { exitOf, lostExit, readExitFile, timeNow } from "./exit-status.ts";
import { conditionIn, identifyRun, isDead, signalExactly } from "./process-facts.ts";
import { messageTypes, phaseWaiting, readState, type Message, type SupervisorState } from "../connection/protocol.ts";
import { finishPatienceMs, followToItsEnd, resume } from "./stopped-supervisor.ts";
import { connectSupervisor, isNobodyThere, type SocketSys } from "../connection/supervisor-socket.ts";
import { pause } from "../connection/waits.ts";

export type FollowerSys = SocketSys & Pick<Sys, "pidfdOpen" | "pidfdSendSignal">;

export interface SupervisorIdentity {
  readonly pid: number;
  readonly supervisorPid: number;
  readonly startedAt: string;
  /** undefined when it could not be found out: then only the supervisor's socket shows whether the supervisor exists. */
  readonly run: RunIdentity | undefined;
}

/** A request waits this long for a connection that is being made. */
const connectionPatienceMs = 2000;
const firstRetryMs = 5;
const longestRetryMs = 2000;
/** How long the connection to a supervisor may be missing before `unreachable` says so. */
const untoldMs = 1000;
const launchingPollMs = 50;
export class RunFollower {
  readonly pid: number;
  readonly supervisorPid: number;
  onReachability: (unreachable: string | undefined) => void = () => undefined;
  /** A message that the supervisor sends without a request. */
  onMessage: (message: Message) => void = () => undefined;
  /** The run has ended, and nobody will report the results of its execs. */
  onExecsLost: (status: ExitStatus) => void = () => undefined;
  readonly #sys: FollowerSys;
  readonly #directory: string;
  readonly #exit = deferred<ExitStatus>();
  #startedAt: string;
  #run: RunIdentity | undefined;
  #connection: SupervisorConnection | undefined;
  /** Resolves with the next connection. */
  #connected = deferred<void>();
  #unreachable: string | undefined;
  /** It has reported its state over this connection, and with it every end that was missed. */
  #tookUp = false;
  #lostAtMs = performance.now();
  #retryMs = firstRetryMs;
  #disconnected = false;
  #settled = false;
  #deciding = false;

  constructor(sys: FollowerSys, directory: string, identity: SupervisorIdentity) {
    this.#sys = sys;
    this.#directory = directory;
    this.pid = identity.pid;
    this.supervisorPid = identity.supervisorPid;
    this.#startedAt = identity.startedAt;
    this.#run = identity.run;
  }

  get run(): RunIdentity | undefined {
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

  /** The present connection, if there is one. */
  get connection(): SupervisorConnection | undefined {
    return this.#connection;
  }

  /** Uses a connection that has reported the state of the run. */
  use(connection: SupervisorConnection): void {
    this.#tookUp = true;
    this.#use(connection);
  }

  /** Begins to look for the supervisor of a run that was found without it. */
  follow(reason: string): void {
    this.#setUnreachable(reason);
    void this.#reconnect(reason);
  }

  /** Uses a new connection, whether it answers yet or not. */
  followOver(connection: SupervisorConnection, reason: string): void {
    this.#setUnreachable(reason);
    this.#use(connection);
    this.#takeUp(connection);
  }

  #setUnreachable(reason: string | undefined): void {
    const words =
      reason === undefined
        ? undefined
        : `the container's supervisor (process ${this.supervisorPid === 0 ? "unknown" : this.supervisorPid}) cannot be reached: ${reason}; the container keeps running, and can be stopped, killed and removed`;
    if (this.#unreachable === words) return;
    this.#unreachable = words;
    if (!this.#settled && !this.#disconnected) this.onReachability(words);
  }

  #use(connection: SupervisorConnection): void {
    this.#connection = connection;
    connection.onMessage = (message) => this.onMessage(message);
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
      if (this.#settled && !this.#disconnected) void this.#exit.promise.then((status) => this.onExecsLost(status));
      void this.#reconnect(reason);
    });
  }

  /** The run has ended, or this daemon does not follow it any more. */
  get over(): boolean {
    return this.#disconnected || this.#settled;
  }

  /** Makes a connection, with longer and longer pauses until one answers; ends when the supervisor is known to be dead. */
  async #reconnect(reason: string): Promise<void> {
    let why = reason;
    let nobody = false;
    while (!this.over) {
      const long = performance.now() - this.#lostAtMs >= untoldMs;
      if (long) this.#setUnreachable(why);
      if (await this.#isDecided(nobody, long)) return;
      await pause(this.#retryMs);
      if (this.over) return;
      this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
      try {
        const { connection } = connectSupervisor(this.#sys, this.#directory);
        this.#use(connection);
        this.#connected.resolve();
        this.#takeUp(connection);
        return;
      } catch (error) {
        nobody = isNobodyThere(error);
        // The reason of the connection's own end says more than "nobody listens".
        if (!nobody) why = messageOf(error);
      }
    }
  }

  /** After its state, the supervisor sends again what was missed. */
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
        // In the middle of a launch: check again later.
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
   * Decides from the kernel and the disk whether the run has ended. Returns true when it has.
   * @param nobodyListens Nobody listens on its socket. If the run's identity is not known, this must be enough.
   * @param long The supervisor has not worked for a while.
   */
  async #isDecided(nobodyListens: boolean, long: boolean): Promise<boolean> {
    const supervisor = this.#run === undefined ? undefined : conditionIn(this.#run, "supervisor");
    const dead = supervisor === undefined ? nobodyListens : isDead(supervisor);
    // In this order: it may write the status between the two checks, but not after its death.
    let stored: ExitStatus | undefined;
    try {
      stored = await readExitFile(this.#directory);
    } catch {
      return false;
    }
    if (stored !== undefined && (dead || long)) return this.#settle(stored);
    if (dead) return this.#settle(lostExit("supervisor was killed"));
    if (!long || this.#run === undefined) return false;
    const process = conditionIn(this.#run, "process");
    // Also when the supervisor has read the status from the kernel and was stopped before it sent it: then only the supervisor knows it.
    if ((process.kind === "ending" || process.kind === "gone") && supervisor?.kind === "stopped") {
      await resume(this.#sys, this.#run, () => this.over);
      return this.over;
    }
    // A supervisor that works reads the status at once. If it has read it, only the supervisor knows it: "gone" decides nothing.
    if (process.kind !== "ended" || process.waitStatus === undefined) return false;
    return this.#endWithout(this.#run, process.waitStatus);
  }

  /**
   * The container has ended and its supervisor is stopped. Nothing depends on that any more, so the supervisor is resumed, to write the rest of the log and
   * to send the end itself. If it does not, it is killed, and the kernel's status counts.
   */
  async #endWithout(run: RunIdentity, waitStatus: number): Promise<boolean> {
    const status: ExitStatus = { ...exitOf(waitStatus), finishedAt: timeNow() };
    signalExactly(this.#sys, run.supervisor, SIGCONT);
    for (let waitedMs = 0; waitedMs < finishPatienceMs; waitedMs += 20) {
      await pause(20);
      if (this.over) return true;
      const stored = await readExitFile(this.#directory).catch(() => undefined);
      if (stored !== undefined) return this.#settle(stored);
    }
    signalExactly(this.#sys, run.supervisor, SIGKILL);
    return this.#settle(status);
  }

  #settle(status: ExitStatus): true {
    if (this.over) return true;
    this.end(status);
    this.onExecsLost(status);
    return true;
  }

  /** Uses the end that the supervisor reported. */
  end(status: ExitStatus): void {
    if (!this.#settled && this.#run !== undefined) void followToItsEnd(this.#sys, this.#run).catch(() => undefined);
    this.#settled = true;
    this.#exit.resolve(status);
  }

  /** It is connected and owes an answer, but does not send it. */
  async #onSuspect(connection: SupervisorConnection): Promise<void> {
    if (this.#deciding) return;
    this.#deciding = true;
    try {
      if (this.#run !== undefined && conditionIn(this.#run, "supervisor").kind === "stopped")
        connection.giveUp(
          `it is stopped, by a signal or a debugger ("kill -CONT ${this.supervisorPid}" lets it continue)`,
        );
      await this.#isDecided(false, true);
    } finally {
      this.#deciding = false;
    }
  }

  /** The present connection, or the one that is being made. @throws unavailable */
  async reach(): Promise<SupervisorConnection> {
    if (this.#connection === undefined && !this.over)
      await settlesWithin(this.#connected.promise, connectionPatienceMs);
    if (this.#connection !== undefined) return this.#connection;
    if (this.over) throw new EngineError("conflict", "the container has ended");
    throw new EngineError("unavailable", this.#unreachable ?? "the container's supervisor cannot be reached");
  }

  disconnect(): void {
    this.#disconnected = true;
    this.#connection?.close();
  }
}
