/**
 * The runtime: an OCI configuration becomes a launch plan (`compile`), the plan becomes a process with a supervisor (`Launcher`),
 * limits become cgroups (`Cgroups`). It knows no images, no networks, no Docker.
 *
 * Lifecycle of one container run
 *   cgroups.create → launcher.prepare (stem: process exists, namespaces exist, nothing is visible yet) → the caller sets up the
 *   network in `prepared.networkNamespaceFd` → prepared.launch(plan, …) → Supervisor → exit → cgroups.remove.
 * `prepare` may be served from a pool of stems made in advance; it is then instant. A stem or container whose caller drops
 * it (closes the control socket before launch) ends by itself and leaves nothing.
 *
 * The supervisor outlives the daemon. `launcher.reconnect(directory)` finds it again, or gives the stored exit status.
 *
 * A supervisor that cannot be reached is not dead. Only the kernel says who is: a process is named by its number and its start
 * (`RunIdentity`). Until then a supervisor is `unreachable`: requests fail as "unavailable", the connection is made again, again and again, and the
 * container is not touched.
 */
import type { LaunchPlan } from "./plan/plan.ts";

export interface ExitStatus {
  /** 0–255 as a shell would show it: 128+signal when killed. */
  readonly code: number;
  /** The signal that ended it, 0 when it exited. */
  readonly signal: number;
  /** RFC3339Nano. */
  readonly finishedAt: string;
  /** Why the engine could not know the truth: "supervisor was killed". Code is then 255. */
  readonly lost?: string;
}

/** Where a supervisor puts what its container prints, whether a client is attached or not. */
export type LogSink =
  | { readonly kind: "none" }
  | {
      /** Docker's json-file log, written by the supervisor. */
      readonly kind: "json-file";
      /** Absolute. */
      readonly path: string;
      /** Bytes before rotation, 0 for no limit. */
      readonly maxSize: number;
      /** Files kept, the current one included; at least 1. */
      readonly maxFiles: number;
      /** Written into each record's `attrs`, already selected from labels and env. */
      readonly attributes?: Readonly<Record<string, string>>;
    }
  | {
      /**
       * A connected stream socket. The supervisor gets a copy; this one stays the caller's, who closes it after the launch. The other side reads
       * what an attachment of both outputs reads, from the first byte on, and then the end. Where it does not read, the container's output stops, as
       * at a full pipe.
       */
      readonly kind: "descriptor";
      readonly fd: number;
    };

export interface StreamSelection {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/**
 * A byte stream to a process's standard streams, as a connected, non-blocking stream socket that the caller owns.
 * From a process without a terminal its bytes are Docker's multiplexed frames (8-byte header: stream 1 or 2, three zeros, length
 * big-endian); with a terminal they are raw. Bytes written go to stdin; shutting down the write side closes stdin where
 * `closeStdin` was asked. End of file comes after the last output byte.
 */
export interface Attachment {
  readonly fd: number;
}

export interface AttachOptions extends StreamSelection {
  /** The process's stdin is closed when this client half-closes (Docker's StdinOnce). */
  readonly closeStdin: boolean;
}

/** The standard streams belong to a supervisor, which lives as long as the container. */
export interface SupervisedIo {
  readonly kind: "supervised";
  readonly log: LogSink;
  /** stdin stays open without clients (Docker's OpenStdin); otherwise it is /dev/null. */
  readonly openStdin: boolean;
  /** Attachments that see every byte from the first on. One `Attachment` each, in the same order. */
  readonly attach: readonly AttachOptions[];
}

/**
 * No supervisor stays: the process has the descriptors that it is given, and is whose descendants' ends it is to see. All descriptors are the caller's and stay its own; the
 * process gets copies. For programs that are the container's parent themselves, as runc is.
 */
export interface DirectIo {
  readonly kind: "direct";
  /** "console": a connected unix stream socket that gets the master of the terminal, as runc's --console-socket; for plans with a terminal, and only those. */
  readonly streams:
    | { readonly kind: "inherited"; readonly stdin: number; readonly stdout: number; readonly stderr: number }
    | { readonly kind: "console"; readonly socketFd: number };
  /** Absolute path of a file that appears with the process's pid in it, in decimal digits, before `launchDirect` resolves. */
  readonly pidFile?: string;
  /** At most 60: descriptors 3, 4 … of the program. */
  readonly preservedFds?: readonly number[];
}

/** Whose the streams of a container's first process are. */
export type ContainerIo = SupervisedIo | DirectIo;

export interface LaunchRequest<Io extends ContainerIo = ContainerIo> {
  readonly plan: LaunchPlan;
  /** Detached mount for `attach-root` of kind "overlay"; the launcher's copy, closed by launch whatever happens. */
  readonly rootFd?: number;
  /** Directory for the supervisor's socket and the exit status; exists, 0700. */
  readonly directory: string;
  readonly io: Io;
}

export interface ExecRequest {
  /** 64 hex digits, unique in the container. */
  readonly execId: string;
  /** Operations only: the supervisor joins the container's namespaces and cgroups first. */
  readonly plan: LaunchPlan;
  readonly openStdin: boolean;
  readonly attach: readonly AttachOptions[];
}

export interface ExecHandle {
  readonly execId: string;
  readonly pid: number;
  readonly attachments: readonly Attachment[];
  readonly exit: Promise<ExitStatus>;
}

/** A process by its number and its start, in clock ticks since boot: a number alone is another's one day. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

/** A container's first process and its supervisor, and where their numbers mean something. Plain data: it is kept on disk. */
export interface RunIdentity {
  readonly process: ProcessIdentity;
  readonly supervisor: ProcessIdentity;
  readonly bootId: string;
  /** As /proc/self/ns/pid names it. */
  readonly pidNamespace: string;
}

/** What a daemon remembers of a run that it did not begin, for `reconnect`. */
export interface KnownRun {
  /** undefined for runs of daemons that did not write it down. */
  readonly identity: RunIdentity | undefined;
  /** Of the container's first process; 0 when it is not known. */
  readonly pid: number;
  /** RFC3339Nano; the supervisor's own word replaces it. */
  readonly startedAt: string;
}

/**
 * Every request ends: after 2 s where the supervisor is stopped, after about 10 s where it says nothing at all ("unavailable"), else at a deadline
 * ("timeout"; `exec` two minutes, the others 30 s) or with the signal's reason.
 */
export interface Supervisor {
  /** Pid of the container's first process, seen from the host. */
  readonly pid: number;
  readonly supervisorPid: number;
  /** undefined where it could not be found out. */
  readonly identity: RunIdentity | undefined;
  /** RFC3339Nano. */
  readonly startedAt: string;
  /**
   * Resolves once: with the supervisor's word; with the kernel's, when the first process has ended and the supervisor does not do its work; as
   * `lost` when the supervisor is dead and left no status. Never rejects.
   */
  readonly exit: Promise<ExitStatus>;
  /** Why it cannot be reached now, with the way out; undefined when it can. */
  readonly unreachable: string | undefined;
  /** Called with every change of `unreachable`. One listener. */
  onReachability: (unreachable: string | undefined) => void;
  attach(options: AttachOptions, signal?: AbortSignal): Promise<Attachment>;
  /**
   * Runs another process in the container. A failed operation rejects as `launch` does; the container is not touched. A process that comes to run
   * after its request was given up is killed; one that stands still before its program runs (stopped by a signal or a debugger) is killed within 2 s ("unavailable").
   */
  exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecHandle>;
  /** To the first process, also when the supervisor cannot be reached; or, by the supervisor, to one exec. */
  signal(signal: number, execId?: string): Promise<void>;
  resize(rows: number, columns: number, execId?: string): Promise<void>;
  /** Lets an OCI-created process go on at `wait-start`. */
  start(): Promise<void>;
  /** Reopens the log file (after an outside rotation). */
  reopenLog(): Promise<void>;
  /** Has it looked at now: one that does not answer is told of (`unreachable`), and an end that it does not tell is found out. */
  probe(): void;
  /** Drops this daemon's connection; the container runs on. */
  disconnect(): void;
}

export interface Launched {
  readonly supervisor: Supervisor;
  readonly attachments: readonly Attachment[];
}

/**
 * A container's first process without a supervisor. It is the child of the nearest process above that adopts (`Sys.setSubreaper`): of the caller, where that is one. It
 * lives on when the caller ends.
 */
export interface DirectRun {
  readonly pid: number;
  /** undefined where it could not be found out, since the process has ended. */
  readonly process: ProcessIdentity | undefined;
  /** RFC3339Nano. */
  readonly startedAt: string;
  /** Lets a process go on at `wait-start`, as `Supervisor.start`; another process does it by `Launcher.reconnect(directory)`. */
  start(): Promise<void>;
  /** @throws conflict when the process has ended */
  signal(signal: number): void;
  /**
   * The process's end, which this reaps. `lost` where it is not the caller's child or somebody else reaped it. An abort leaves it as it is. Keeps the caller's event loop
   * alive.
   */
  wait(signal?: AbortSignal): Promise<ExitStatus>;
}

export interface PreparedStem {
  /** Host pid of the process that will become the container's first; in a joined pid namespace, of the one that makes it. */
  readonly pid: number;
  /** To be kept for `reconnect`. undefined where the first process is still to be made: `Launched` has it then. */
  readonly identity: RunIdentity | undefined;
  /** Its network namespace; owned by this object. undefined when the stem has none of its own. */
  readonly networkNamespaceFd: number | undefined;
  /** True while the process waits for its plan. It may end before: killed by somebody, or for lack of memory. */
  readonly usable: boolean;
  /**
   * Executes the plan's operations. Resolves when the program's execve has succeeded.
   * Errors: EngineError "executable-not-found" (127), "not-executable" (126), "invalid-argument" or "internal" (125), with the
   * operation in words; nothing is left then.
   */
  launch(request: LaunchRequest<SupervisedIo>, signal?: AbortSignal): Promise<Launched>;
  /**
   * The same without a supervisor: resolves when the program runs and fathom-init has ended. Rejects as `launch`; nothing is left then, no pid file either.
   * With a plan that has `wait-start` it resolves when the process waits, and fathom-init stays until `start`.
   */
  launchDirect(request: LaunchRequest<DirectIo>, signal?: AbortSignal): Promise<DirectRun>;
  /** Ends the process; nothing is left. */
  discard(): Promise<void>;
}

export interface Launcher {
  prepare(stem: LaunchPlan["stem"], signal?: AbortSignal): Promise<PreparedStem>;
  /**
   * `directory` as in LaunchRequest. "gone" when the kernel says that the run's processes are (or, of a run without identity, that nobody listens)
   * and there is no exit status. Resolves within a second; a supervisor that has not answered by then is "running" and unreachable. Never
   * rejects.
   */
  reconnect(
    directory: string,
    known?: KnownRun,
  ): Promise<
    | { readonly kind: "running"; readonly supervisor: Supervisor }
    | { readonly kind: "exited"; readonly exit: ExitStatus }
    | { readonly kind: "gone" }
  >;
  /** A run that is taken for running without a look: unreachable until its supervisor answers or the kernel says that it is dead. */
  assume(directory: string, known: KnownRun, reason: string): Supervisor;
}
