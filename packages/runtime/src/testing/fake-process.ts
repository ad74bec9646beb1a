/** A process of the fake launcher: its program is data, with streams in memory. A test ends it, reads what it printed, and sees its signals. */
import { deferred, EngineError, type Deferred } from "@fathom/base";
import type { AttachOptions, ExitStatus, LaunchRequest, SupervisedIo } from "../contract.ts";

/** What a program does when it runs. */
export interface FakeProgram {
  /** Printed first. */
  readonly stdout?: string;
  readonly stderr?: string;
  /** Prints its input, and ends with 0 at the end of the input. */
  readonly echoes?: boolean;
  /** It ends by itself, after its output. Absent: it runs until somebody ends it. */
  readonly code?: number;
}

/** The test's end of an attachment or of an inherited stream. */
export class FakeStream {
  stdout = "";
  stderr = "";
  readonly #ended = deferred<void>();
  readonly #onInput: (text: string | undefined) => void;

  constructor(onInput: (text: string | undefined) => void = () => undefined) {
    this.#onInput = onInput;
  }

  /** Resolves after the last byte of output. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  write(text: string): void {
    this.#onInput(text);
  }

  /** The client half-closes. */
  closeInput(): void {
    this.#onInput(undefined);
  }

  end(): void {
    this.#ended.resolve();
  }
}

/** The streams of one process, a first one or an exec. */
class FakeStreams {
  readonly #clients = new Map<FakeStream, AttachOptions>();
  readonly #terminal: boolean;
  #program: FakeProgram = {};
  #onEnd: (code: number) => void = () => undefined;
  #over = false;

  constructor(terminal: boolean) {
    this.#terminal = terminal;
  }

  add(options: AttachOptions): FakeStream {
    const stream = new FakeStream((text) => this.#input(text, options));
    this.#clients.set(stream, options);
    return stream;
  }

  run(program: FakeProgram, onEnd: (code: number) => void): void {
    this.#program = program;
    this.#onEnd = onEnd;
    this.#print(program.stdout ?? "", program.stderr ?? "");
    // The code that starts it learns of the start before the end.
    if (program.code !== undefined) setTimeout(onEnd, 1, program.code);
  }

  end(): void {
    this.#over = true;
    for (const stream of this.#clients.keys()) stream.end();
  }

  #input(text: string | undefined, { stdin, closeStdin }: AttachOptions): void {
    if (this.#over || !stdin || this.#program.echoes !== true) return;
    if (text !== undefined) this.#print(text, "");
    else if (closeStdin) this.#onEnd(0);
  }

  #print(stdout: string, stderr: string): void {
    for (const [stream, wants] of this.#clients) {
      if (wants.stdout) stream.stdout += this.#terminal ? stdout + stderr : stdout;
      if (wants.stderr && !this.#terminal) stream.stderr += stderr;
    }
  }
}

export class FakeExec {
  readonly exit = deferred<ExitStatus>();
  readonly streams: FakeStreams;
  ended = false;

  constructor(terminal: boolean) {
    this.streams = new FakeStreams(terminal);
  }

  end(code: number): void {
    if (this.ended) return;
    this.ended = true;
    this.exit.resolve(statusOf(code));
    this.streams.end();
  }
}

/** The first process of a container. */
export class FakeProcess {
  exit: Deferred<ExitStatus> = deferred();
  readonly signals: number[] = [];
  /** Ids of its execs, in the order of their starts. */
  readonly execs: string[] = [];
  readonly running = new Map<string, FakeExec>();
  readonly pid: number;
  readonly request: LaunchRequest<SupervisedIo>;
  readonly streams: FakeStreams;
  readonly startedAt = new Date().toISOString();
  /** What a signal does; by default KILL and TERM end it. */
  onSignal: (signal: number) => void = (signal) => {
    if (signal === 9 || signal === 15) this.end(128 + signal);
  };
  ended: ExitStatus | undefined;
  /** Why its supervisor cannot be reached; the processes run on. */
  unreachable: string | undefined;
  /** At `wait-start`, until `start`. */
  waits: boolean;
  #program: FakeProgram = {};

  constructor(pid: number, request: LaunchRequest<SupervisedIo>) {
    this.pid = pid;
    this.request = request;
    this.streams = new FakeStreams(request.plan.terminal !== null);
    this.waits = request.plan.operations.some(({ kind }) => kind === "wait-start");
  }

  run(program: FakeProgram): void {
    this.#program = program;
    if (!this.waits) this.streams.run(program, (code) => this.end(code));
  }

  /** @throws conflict when it does not wait */
  start(): void {
    if (!this.waits) throw new EngineError("conflict", "starting the created process: it does not wait for a start");
    this.waits = false;
    this.run(this.#program);
  }

  end(code: number, lost?: string): void {
    if (this.ended !== undefined) return;
    this.ended = { ...statusOf(code), ...(lost === undefined ? {} : { lost }) };
    for (const exec of this.running.values()) exec.end(137);
    this.exit.resolve(this.ended);
    this.streams.end();
  }

  /** Daemons that watch it so far hear nothing more of it, as after `kill -9` of them. */
  leave(): void {
    this.exit = deferred();
  }
}

function statusOf(code: number): ExitStatus {
  return { code, signal: code > 128 ? code - 128 : 0, finishedAt: new Date().toISOString() };
}
