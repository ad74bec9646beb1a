/** A running container as its supervisor shows it: Supervisor of the contract, over one connection. */
import { deferred, EngineError, isEngineError, type Deferred } from "@fathom/base";
import { errnoNumber, SIGKILL, type Sys } from "@fathom/sys";
import type {
  Attachment,
  AttachOptions,
  ExecHandle,
  ExecRequest,
  ExitStatus,
  ProcessIdentity,
  RunIdentity,
  Supervisor,
} from "../contract.ts";
import { encodePlan } from "../plan/plan-encoding.ts";
import { WireReader, WireWriter } from "../plan/wire.ts";
import { attachMask, closeAll, openAttachments } from "./attachments.ts";
import type { SupervisorConnection } from "../connection/connection.ts";
import { parseExit } from "./exit-status.ts";
import { launchFailure } from "./launch-failure.ts";
import { execPayload, packPlan } from "./launch-messages.ts";
import { LaunchWatch } from "./launch-watch.ts";
import { identify, signalExactly, signalRun } from "./process-facts.ts";
import { requestFailure } from "./request-failure.ts";
import { messageTypes, SupervisorFailure, type Message } from "../connection/protocol.ts";
import { pause } from "../connection/waits.ts";
import { RunFollower, type FollowerSys, type SupervisorIdentity } from "./run-follower.ts";

export type SupervisorSys = FollowerSys & Pick<Sys, "socketpair" | "memfdCreate">;

const ECANCELED = errnoNumber("ECANCELED");
/** Deadlines of requests to a supervisor that answers: the requested work takes that long. */
const execLimitMs = 120_000;
const requestLimitMs = 30_000;
/** The first and the longest pause between two tries to kill the process of an exec that nobody waits for. */
const firstKillMs = 100;
const longestKillMs = 10_000;

export class SupervisorClient implements Supervisor {
  readonly #sys: SupervisorSys;
  readonly #follower: RunFollower;
  readonly #execs = new Map<string, Deferred<ExitStatus>>();
  readonly #launches: LaunchWatch;

  /** @param connection A connection that has answered. Without one, `follow` makes it. */
  constructor(
    sys: SupervisorSys,
    directory: string,
    identity: SupervisorIdentity,
    connection: SupervisorConnection | undefined,
  ) {
    this.#sys = sys;
    this.#follower = new RunFollower(sys, directory, identity);
    this.#launches = new LaunchWatch(sys, identity);
    this.#follower.onMessage = (message) => this.receive(message);
    this.#follower.onExecsLost = (status) => this.#endExecs(status);
    if (connection !== undefined) this.#follower.use(connection);
  }

  get pid(): number {
    return this.#follower.pid;
  }

  get supervisorPid(): number {
    return this.#follower.supervisorPid;
  }

  get identity(): RunIdentity | undefined {
    return this.#follower.run;
  }

  get startedAt(): string {
    return this.#follower.startedAt;
  }

  get exit(): Promise<ExitStatus> {
    return this.#follower.exit;
  }

  get unreachable(): string | undefined {
    return this.#follower.unreachable;
  }

  get onReachability(): (unreachable: string | undefined) => void {
    return this.#follower.onReachability;
  }

  set onReachability(listener: (unreachable: string | undefined) => void) {
    this.#follower.onReachability = listener;
  }

  /** Begins to look for the supervisor of a run that was found without it. */
  follow(reason: string): void {
    this.#follower.follow(reason);
  }

  /** Uses a new connection, whether it answers yet or not. */
  followOver(connection: SupervisorConnection, reason: string): void {
    this.#follower.followOver(connection, reason);
  }

  /** After the supervisor's end nobody can find out the exit codes of the execs. */
  #endExecs(status: ExitStatus): void {
    for (const waiting of this.#execs.values()) waiting.resolve({ ...status, code: 255 });
    this.#execs.clear();
  }

  /** Messages that the supervisor sends without a request. */
  receive(message: Message): void {
    const reader = new WireReader(message.payload);
    if (message.type === messageTypes.exit) {
      const status = parseExit(reader);
      this.#follower.end(status);
      return;
    }
    if (message.type !== messageTypes.execExit) return;
    const id = reader.text();
    const status = parseExit(reader);
    // An exec that nobody waits for was begun by the previous daemon.
    this.#execs.get(id)?.resolve(status);
    this.#execs.delete(id);
  }

  async attach(options: AttachOptions, signal?: AbortSignal): Promise<Attachment> {
    const connection = this.#follower.connection ?? (await this.#follower.reach());
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
    const { execId, plan, attach } = request;
    const connection = this.#follower.connection ?? (await this.#follower.reach());
    if (this.#execs.has(execId)) throw new EngineError("conflict", `an exec of the id ${execId} runs already`);
    const exit = deferred<ExitStatus>();
    const sent: number[] = [];
    const launched = this.#launches.begin();
    let local: readonly Attachment[] = [];
    try {
      const planned = packPlan(this.#sys, encodePlan(plan));
      sent.push(...planned.fds);
      const pairs = openAttachments(this.#sys, attach.length);
      sent.push(...pairs.remote);
      ({ local } = pairs);
      const payload = execPayload(request, planned);
      this.#execs.set(execId, exit);
      const answer = connection.request(messageTypes.exec, payload, sent, {
        deadlineMs: execLimitMs,
        signal,
        // The caller does not wait for this exec any more.
        late: (payload) => void this.#endAbandoned(execId, payload),
      });
      closeAll(this.#sys, sent.splice(0));
      const reader = new WireReader(await answer);
      return { execId, pid: reader.u32(), attachments: local, exit: exit.promise };
    } catch (error) {
      this.#execs.delete(execId);
      closeAll(this.#sys, [...sent, ...local.map(({ fd }) => fd)]);
      throw launchFailure(this.#whyEnded(error), plan, "exec");
    } finally {
      launched();
    }
  }

  /**
   * Kills the process of an exec that nobody waits for: by its supervisor, which knows it exactly, or directly. Tries again while neither can be
   * asked, until the run has ended.
   */
  async #endAbandoned(execId: string, payload: Uint8Array): Promise<void> {
    let process: ProcessIdentity | undefined;
    try {
      process = identify(new WireReader(payload).u32());
    } catch {
      // An answer without a number: only the supervisor knows the process.
    }
    for (let delayMs = firstKillMs; !this.#follower.over; delayMs = Math.min(delayMs * 2, longestKillMs)) {
      try {
        return await this.signal(SIGKILL, execId);
      } catch (error) {
        if (isEngineError(error, "conflict")) return;
      }
      try {
        if (process !== undefined && signalExactly(this.#sys, process, SIGKILL) !== "unknown") return;
      } catch {
        // The kernel rejects the signal: perhaps the supervisor can send it.
      }
      await pause(delayMs);
    }
  }

  /** The supervisor's failure does not say that a process was killed because it was stopped; this function adds the reason. */
  #whyEnded(error: unknown): unknown {
    const { ended } = this.#launches;
    if (ended === undefined || !(error instanceof SupervisorFailure) || error.errno !== ECANCELED) return error;
    return new EngineError(
      "unavailable",
      `the process that the container's supervisor made for it (${ended.pid}) was stopped, by a signal or a debugger, before its program ran`,
      { cause: error },
    );
  }

  async signal(signal: number, execId = ""): Promise<void> {
    const { run } = this.#follower;
    if (execId === "" && run !== undefined) {
      const sent = signalRun(this.#sys, run, signal);
      // The supervisor reports the end that follows. If it does not answer, the kernel is asked.
      this.#follower.connection?.probe();
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
    this.#follower.connection?.probe();
  }

  disconnect(): void {
    this.#follower.disconnect();
  }

  async #request(type: number, payload: Uint8Array, fds: readonly number[], action: string): Promise<void> {
    await this.#ask(this.#follower.connection ?? (await this.#follower.reach()), type, payload, fds, action);
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
      throw requestFailure(error, action);
    }
  }
}
