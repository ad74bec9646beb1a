/**
 * A launcher without processes, for tests of code above it: runs are kept by their directory and survive the launchers that made them, as on a
 * real machine. It runs the suite of the contract (`launcher-suite.ts`). Every call can fail or hang; in `faults` the names are "launcher",
 * "stem", "supervisor" and "direct", as in "stem.launch".
 */
import { EngineError, type Deferred } from "@fathom/base";
import { Faults } from "@fathom/base/testing";
import type {
  Attachment,
  AttachOptions,
  DirectIo,
  DirectRun,
  ExecHandle,
  ExecRequest,
  Launched,
  Launcher,
  LaunchRequest,
  PreparedStem,
  SupervisedIo,
  Supervisor,
} from "../contract.ts";
import type { LaunchPlan } from "../plan/plan.ts";
import { launchFailure } from "../supervisor/launch-failure.ts";
import { identifyRun } from "../supervisor/process-facts.ts";
import { SupervisorFailure } from "../connection/protocol.ts";
import { FakeExec, FakeProcess, FakeStream, type FakeProgram } from "./fake-process.ts";

/** An operation of the plan that fails, as fathom-init reports it. */
export interface FakeFailure {
  /** Its index. */
  readonly operation: number;
  readonly errno: number;
  readonly call: string;
}

export interface FakeLauncherOptions {
  readonly faults?: Faults;
  /** What a plan does. Absent: a program that prints nothing and runs until it is ended. */
  readonly outcome?: (plan: LaunchPlan) => FakeProgram | FakeFailure;
  /** Why the launcher cannot make a stem. Absent or undefined: it can. */
  readonly stemFailure?: (stem: LaunchPlan["stem"]) => Omit<FakeFailure, "operation"> | undefined;
  /** A descriptor that the launcher must close, by the contract. */
  readonly onClose?: () => void;
  /** The caller gets a descriptor and must close it. */
  readonly onOpen?: () => void;
}

const ownPid = process.pid;
const noStreams: SupervisedIo = { kind: "supervised", log: { kind: "none" }, openStdin: false, attach: [] };
const bothOutputs: AttachOptions = { stdin: false, stdout: true, stderr: true, closeStdin: false };

export class FakeLauncher {
  readonly faults: Faults;
  readonly processes = new Map<string, FakeProcess>();
  /** Processes that wait for their plan. */
  readonly stems = new Set<number>();
  /** The test's ends of attachments, by the caller's descriptor. */
  readonly streams = new Map<number, FakeStream>();
  nextPid = 1000;
  failLaunch: Error | undefined;
  /** Holds every launch until `goOn`. */
  launching: { readonly reached: Deferred<void>; readonly goOn: Deferred<void> } | undefined;
  onLaunch: () => void = () => undefined;
  /** Whether runs have an identity: this process, which runs as long as the test. */
  hasIdentities = false;
  readonly #outcome: (plan: LaunchPlan) => FakeProgram | FakeFailure;
  readonly #stemFailure: NonNullable<FakeLauncherOptions["stemFailure"]>;
  readonly #onClose: () => void;
  readonly #onOpen: () => void;
  /** The test's ends of the streams that a direct launch inherits, by descriptor. */
  readonly #inherited = new Map<number, FakeStream>();

  constructor(options: FakeLauncherOptions = {}) {
    this.faults = options.faults ?? new Faults();
    this.#outcome = options.outcome ?? (() => ({}));
    this.#stemFailure = options.stemFailure ?? (() => undefined);
    this.#onClose = options.onClose ?? (() => undefined);
    this.#onOpen = options.onOpen ?? (() => undefined);
  }

  /** The launcher of one daemon; all launchers see the same runs. */
  open(): Launcher {
    return this.faults.wrap("launcher", {
      prepare: async (stem: LaunchPlan["stem"], signal?: AbortSignal) => {
        signal?.throwIfAborted();
        const refused = this.#stemFailure(stem);
        if (refused === undefined) return this.#prepare(stem);
        const failure = new SupervisorFailure(undefined, refused.errno, refused.call, "");
        throw launchFailure(failure, { operations: [] }, "stem");
      },
      reconnect: async (directory: string) => {
        const process = this.processes.get(directory);
        if (process === undefined) return { kind: "gone" };
        if (process.ended !== undefined) return { kind: "exited", exit: process.ended };
        return { kind: "running", supervisor: this.#supervisor(process) };
      },
      assume: (directory, known, reason) => {
        const process = this.processes.get(directory);
        if (process === undefined) throw new EngineError("internal", `no process of the fake is in ${directory}`);
        process.unreachable = reason;
        return { ...this.#supervisor(process), startedAt: known.startedAt };
      },
    } satisfies Launcher);
  }

  /** A stream that a direct launch can inherit. */
  inheritable(fd: number): FakeStream {
    const stream = new FakeStream();
    this.#inherited.set(fd, stream);
    return stream;
  }

  /** True while the process with this number is a stem, a first process or an exec that has not ended. */
  lives(pid: number): boolean {
    return (
      this.stems.has(pid) || [...this.processes.values()].some((one) => one.pid === pid && one.ended === undefined)
    );
  }

  #prepare(request: LaunchPlan["stem"]): PreparedStem {
    const pid = this.nextPid++;
    this.stems.add(pid);
    const { stems } = this;
    const claim = (): void => {
      if (!stems.delete(pid)) throw new EngineError("internal", "a prepared process can be launched once");
    };
    const stem: PreparedStem = this.faults.wrap("stem", {
      pid,
      identity: undefined,
      networkNamespaceFd: request.newNamespaces.includes("network") ? 77 : undefined,
      get usable() {
        return stems.has(pid);
      },
      launch: async (launch: LaunchRequest<SupervisedIo>, signal?: AbortSignal) => {
        claim();
        return this.#launch(pid, launch, signal);
      },
      launchDirect: async (launch: LaunchRequest<DirectIo>, signal?: AbortSignal) => {
        claim();
        return this.#launchDirect(pid, launch, signal);
      },
      discard: async () => void stems.delete(pid),
    });
    return {
      pid,
      identity: undefined,
      networkNamespaceFd: stem.networkNamespaceFd,
      get usable() {
        return stem.usable;
      },
      // They always close the descriptor of the root, and a stem is used once.
      launch: async (launch, signal) => this.#used(pid, launch, () => stem.launch(launch, signal)),
      launchDirect: async (launch, signal) => this.#used(pid, launch, () => stem.launchDirect(launch, signal)),
      discard: () => stem.discard(),
    };
  }

  async #used<T>(pid: number, { rootFd }: LaunchRequest, launch: () => Promise<T>): Promise<T> {
    if (rootFd !== undefined) this.#onClose();
    try {
      return await launch();
    } finally {
      this.stems.delete(pid);
    }
  }

  async #launch(pid: number, request: LaunchRequest<SupervisedIo>, signal: AbortSignal | undefined): Promise<Launched> {
    const process = await this.#execute(pid, request, request.plan, signal);
    const attachments = request.io.attach.map((options) => this.#attach(500, process.streams.add(options)));
    this.#begin(process);
    return { supervisor: this.#supervisor(process), attachments };
  }

  async #launchDirect(
    pid: number,
    request: LaunchRequest<DirectIo>,
    signal: AbortSignal | undefined,
  ): Promise<DirectRun> {
    const { streams, pidFile } = request.io;
    if ((streams.kind === "console") !== (request.plan.terminal !== null))
      throw new EngineError("invalid-argument", "a console socket is for a process with a terminal, and for no other");
    const process = await this.#execute(pid, { ...request, io: noStreams }, request.plan, signal);
    if (pidFile !== undefined) await Bun.write(pidFile, String(process.pid));
    const output = streams.kind === "console" ? undefined : this.#inherited.get(streams.stdout);
    const client = process.streams.add(bothOutputs);
    void client.ended.then(() => {
      if (output === undefined) return;
      output.stdout += client.stdout;
      output.end();
    });
    this.#begin(process);
    return this.faults.wrap("direct", {
      pid: process.pid,
      process: undefined,
      startedAt: process.startedAt,
      start: async () => process.start(),
      signal: (number: number) => {
        this.#mustLive(process);
        process.signals.push(number);
        process.onSignal(number);
      },
      wait: async () => process.exit.promise,
    } satisfies DirectRun);
  }

  async #execute(
    pid: number,
    request: LaunchRequest<SupervisedIo>,
    plan: LaunchPlan,
    signal: AbortSignal | undefined,
  ): Promise<FakeProcess> {
    signal?.throwIfAborted();
    this.launching?.reached.resolve();
    await this.launching?.goOn.promise;
    signal?.throwIfAborted();
    if (this.failLaunch !== undefined) throw this.failLaunch;
    this.#program(plan, "launch");
    return new FakeProcess(pid, request);
  }

  #begin(process: FakeProcess): void {
    this.processes.set(process.request.directory, process);
    process.run(this.#program(process.request.plan, "launch"));
    this.onLaunch();
  }

  /** @throws LaunchFailure */
  #program(plan: LaunchPlan, of: "launch" | "exec"): FakeProgram {
    const outcome = this.#outcome(plan);
    if (!("errno" in outcome)) return outcome;
    throw launchFailure(new SupervisorFailure(outcome.operation, outcome.errno, outcome.call, ""), plan, of);
  }

  /** @param first The first number that its descriptor may have. */
  #attach(first: number, stream: FakeStream): Attachment {
    let fd = first;
    while (this.streams.has(fd)) fd++;
    this.#onOpen();
    this.streams.set(fd, stream);
    return { fd };
  }

  #mustLive({ ended }: FakeProcess): void {
    if (ended !== undefined) throw new EngineError("conflict", "the container's first process has ended");
  }

  #supervisor(process: FakeProcess): Supervisor {
    const exec = (id: string): FakeExec => {
      const found = process.running.get(id);
      if (found === undefined || found.ended) throw new EngineError("conflict", `no exec ${id} runs`);
      return found;
    };
    const supervisor: Supervisor = {
      pid: process.pid,
      supervisorPid: process.pid + 100_000,
      identity: this.hasIdentities ? identifyRun(ownPid, ownPid) : undefined,
      startedAt: process.startedAt,
      exit: process.exit.promise,
      get unreachable() {
        return process.unreachable;
      },
      onReachability: () => undefined,
      attach: async (options) => {
        this.#mustLive(process);
        return this.#attach(600, process.streams.add(options));
      },
      exec: async (request): Promise<ExecHandle> => this.#exec(process, request),
      signal: async (signal, execId) => {
        if (execId !== undefined) return exec(execId).end(128 + signal);
        this.#mustLive(process);
        process.signals.push(signal);
        process.onSignal(signal);
      },
      resize: async (_rows, _columns, execId) => {
        this.#mustLive(process);
        if (execId === undefined && process.request.plan.terminal === null)
          throw new EngineError("internal", "resizing the terminal: no such terminal");
        if (execId !== undefined) exec(execId);
      },
      start: async () => process.start(),
      reopenLog: async () => undefined,
      probe: () => undefined,
      disconnect: () => undefined,
    };
    return this.faults.wrap("supervisor", supervisor);
  }

  #exec(process: FakeProcess, { execId, plan, attach }: ExecRequest): ExecHandle {
    this.#mustLive(process);
    if (process.running.has(execId)) throw new EngineError("conflict", `an exec of the id ${execId} runs already`);
    const program = this.#program(plan, "exec");
    const exec = new FakeExec(plan.terminal !== null);
    process.execs.push(execId);
    process.running.set(execId, exec);
    void exec.exit.promise.then(() => process.running.delete(execId));
    const attachments = attach.map((options) => this.#attach(700, exec.streams.add(options)));
    exec.streams.run(program, (code) => exec.end(code));
    return { execId, pid: this.nextPid++, attachments, exit: exec.exit.promise };
  }
}
