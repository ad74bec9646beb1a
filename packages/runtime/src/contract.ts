/**
 * The runtime: `compile` makes a launch plan of an OCI configuration, `Launcher` makes a process of the plan, `Cgroups` (in
 * `cgroups/contract.ts`) makes cgroups of limits. It knows no images, no networks and no Docker.
 *
 * Terms. A *stem* is a container's first process before it has a plan: it exists in its namespaces and cgroups, and waits. A *supervisor* is
 * the fathom-init process that is the parent of a container's processes: it owns their streams, writes the log, stores the exit status, and
 * keeps running when the daemon ends. A *run* is one life of a container's first process; it has a directory of its own.
 *
 * Life of a run: cgroups.create → launcher.prepare (a stem; nothing of the container is visible yet) → the caller sets up the network in
 * `stem.networkNamespaceFd` → stem.launch(plan, …) → Supervisor → exit → cgroups.remove.
 * A stem may be made before anybody knows for which container (a pool): then only the launch is left to do. When its caller drops it, by
 * `discard` or by its own end, the stem ends too.
 * After the caller's end its runs continue: `launcher.reconnect(directory)` finds a run again, or returns its stored exit status.
 *
 * Errors. A stem, a launch or an exec that fails rejects with `LaunchFailure`: stage, operation, call, errno, path and detail are values; no
 * code reads its message. All others are `EngineError`: "conflict" (the process has ended), "unavailable" (the supervisor cannot be reached
 * now), "timeout" (it answered others and did not finish this), "invalid-argument".
 *
 * Abort. A signal ends the wait at once, with the signal's reason. An aborted `prepare` or `launch` leaves no process, descriptor or file. An
 * aborted `attach` or `exec` does not change the container; a process that starts to run after its exec was aborted is killed.
 *
 * Reachability. A supervisor that cannot be reached is not dead. Only the kernel decides which process is dead: a process is identified by its
 * number and its start time (`RunIdentity`). Until then a supervisor is `unreachable`: requests fail as "unavailable", the daemon tries to
 * connect again and again, and does nothing to the container.
 *
 * `launcherSuite` of @fathom/runtime/testing is this contract as tests.
 */
import type { Attachment, AttachOptions, ContainerIo, DirectIo, SupervisedIo } from "./container-io.ts";
import type { LaunchPlan } from "./plan/plan.ts";

export * from "./container-io.ts";

export interface ExitStatus {
  /** 0 to 255, as a shell shows it: 128 + signal for a process that a signal ended. */
  readonly code: number;
  /** The number of the signal that ended it, 0 when it exited by itself. See signal(7). */
  readonly signal: number;
  /** RFC 3339 with nanoseconds, UTC. */
  readonly finishedAt: string;
  /** Why the true status is not known, as a sentence for people. `code` is 255 then. */
  readonly lost?: string;
}

export interface LaunchRequest<Io extends ContainerIo = ContainerIo> {
  /** Its `stem` is the one that was prepared. */
  readonly plan: LaunchPlan;
  /** The detached mount for an `attach-root` operation of kind "overlay" (`Sys.openOverlay`). The launch closes it in every case. */
  readonly rootFd?: number;
  /** Absolute path of the run's directory, for the supervisor's socket and the exit status. It exists, with mode 0700, and no other run uses it. */
  readonly directory: string;
  readonly io: Io;
}

export interface ExecRequest {
  /** 1 to 64 characters, unique among the execs of the container. */
  readonly execId: string;
  /** The supervisor joins the container's namespaces and the cgroups of `stem.cgroupProcs` first, then executes the operations (`compileExec`). */
  readonly plan: LaunchPlan;
  /** True: stdin stays open without clients. False: stdin is /dev/null. */
  readonly openStdin: boolean;
  readonly attach: readonly AttachOptions[];
}

export interface ExecHandle {
  readonly execId: string;
  /** As the host numbers it. */
  readonly pid: number;
  /** One for each of the request, in the same order. The caller owns them. */
  readonly attachments: readonly Attachment[];
  /** Never rejects. Code 137 or 255 when the container ended first. */
  readonly exit: Promise<ExitStatus>;
}

/** A process by its number and its start time, because the kernel may give a number to another process later. */
export interface ProcessIdentity {
  /** As the host numbers it. */
  readonly pid: number;
  /** In clock ticks since the boot, in decimal digits: field 22 of /proc/PID/stat, proc(5). */
  readonly startTime: string;
}

/** A container's first process and its supervisor, and where their numbers are valid. Plain data: callers keep it on disk. */
export interface RunIdentity {
  readonly process: ProcessIdentity;
  readonly supervisor: ProcessIdentity;
  /** /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
  /** The link /proc/self/ns/pid: "pid:[4026531836]". */
  readonly pidNamespace: string;
}

/** What a daemon remembers of a run that an earlier daemon began, for `reconnect`. */
export interface KnownRun {
  /** undefined for a run whose daemon did not store it. */
  readonly identity: RunIdentity | undefined;
  /** Pid of the container's first process; 0 when it is not known. */
  readonly pid: number;
  /** RFC 3339. The supervisor's own value replaces it. */
  readonly startedAt: string;
}

/**
 * A running container. Every request ends: after 2 s when the supervisor is stopped, after about 10 s when it sends nothing at all
 * ("unavailable"), else at a deadline ("timeout": 2 minutes for `exec`, 30 s for the others) or with the signal's reason.
 */
export interface Supervisor {
  /** Of the container's first process, as the host numbers it. */
  readonly pid: number;
  /** 0 when it is not known. */
  readonly supervisorPid: number;
  /** undefined when it could not be found out. */
  readonly identity: RunIdentity | undefined;
  /** RFC 3339 with nanoseconds, UTC. */
  readonly startedAt: string;
  /**
   * Resolves once, and never rejects. Mostly the supervisor reports the status; the kernel does when the first process has ended and the
   * supervisor does not work. `lost` is set when the supervisor is dead and left no status.
   */
  readonly exit: Promise<ExitStatus>;
  /** Why it cannot be reached now, and what the user can do, as a sentence for people; undefined when it can be reached. */
  readonly unreachable: string | undefined;
  /** Called with every change of `unreachable`. There is one listener. */
  onReachability: (unreachable: string | undefined) => void;
  /** To the first process's streams, from now on. @throws conflict when it has ended */
  attach(options: AttachOptions, signal?: AbortSignal): Promise<Attachment>;
  /**
   * Runs an additional process in the container. Resolves when its program runs. Rejects as `PreparedStem.launch`; the container does not
   * change. A process that starts to run after its request was given up is killed. A process that is stopped (by a signal or a debugger) before
   * its program runs is killed within 2 s ("unavailable").
   * @throws conflict when an exec with this id runs
   */
  exec(request: ExecRequest, signal?: AbortSignal): Promise<ExecHandle>;
  /**
   * `signal`: a number of signal(7). Goes to the first process, directly by pidfd where its identity is known, so it arrives although the
   * supervisor cannot be reached; with an `execId` to that exec, through the supervisor. @throws conflict when the process has ended
   */
  signal(signal: number, execId?: string): Promise<void>;
  /** In characters, 0 to 65535. @throws internal when the process has no terminal */
  resize(rows: number, columns: number, execId?: string): Promise<void>;
  /** Lets a process continue that waits at the operation `wait-start`. @throws conflict when none waits */
  start(): Promise<void>;
  /** Opens the log file again, after another program rotated it. */
  reopenLog(): Promise<void>;
  /** Checks the supervisor now. `unreachable` then says when it does not answer, and `exit` when the container has ended meanwhile. */
  probe(): void;
  /** Ends this daemon's connection; the container keeps running. */
  disconnect(): void;
}

export interface Launched {
  readonly supervisor: Supervisor;
  /** One for each of `io.attach`, in the same order. The caller owns them. */
  readonly attachments: readonly Attachment[];
}

/**
 * A container's first process without a supervisor. It is a child of the nearest subreaper above (`Sys.setSubreaper`): of the caller, if the
 * caller is one. It keeps running when the caller ends.
 */
export interface DirectRun {
  readonly pid: number;
  /** undefined when it could not be found out, because the process has ended. */
  readonly process: ProcessIdentity | undefined;
  /** RFC 3339 with nanoseconds, UTC. */
  readonly startedAt: string;
  /** Lets a process continue that waits at `wait-start`. Another process does the same with `startCreated(directory)`. @throws conflict when none waits */
  start(): Promise<void>;
  /** @throws conflict when the process has ended; unavailable when it cannot be examined now, and the signal was not sent */
  signal(signal: number): void;
  /**
   * Waits for the end of the process and reaps it. `lost` is set when the process is not the caller's child, or somebody else reaped it. An
   * abort changes nothing. The wait keeps the caller's event loop alive.
   */
  wait(signal?: AbortSignal): Promise<ExitStatus>;
}

/** A process that waits for its plan. It ends with its caller. */
export interface PreparedStem {
  /**
   * The process number on the host, of the process that becomes the container's first. In a joined pid namespace: of the process that will make
   * the first one.
   */
  readonly pid: number;
  /** For `KnownRun`. undefined when the first process must still be made: then take it from `Launched`. */
  readonly identity: RunIdentity | undefined;
  /** A descriptor of its network namespace, which this object closes. undefined when it has no network namespace of its own. */
  readonly networkNamespaceFd: number | undefined;
  /** True while the process waits for its plan. It may end earlier: killed by somebody, or for lack of memory. */
  readonly usable: boolean;
  /**
   * Executes the plan's operations. Resolves when the program's execve(2) has succeeded, or when the process waits at `wait-start`.
   * @throws LaunchFailure with the code "executable-not-found" (a shell's 127), "not-executable" (126), "invalid-argument" (an error of the
   * request) or "internal"; its values name the operation. Then no process, socket or descriptor is left, and the stem cannot be used again.
   */
  launch(request: LaunchRequest<SupervisedIo>, signal?: AbortSignal): Promise<Launched>;
  /**
   * The same without a supervisor: resolves when the program runs and fathom-init has ended. Rejects as `launch`; nothing is left then, no pid
   * file either. With a plan that has `wait-start` it resolves when the process waits, at the FIFO `start` in
   * the directory of the run; fathom-init has ended then, too.
   */
  launchDirect(request: LaunchRequest<DirectIo>, signal?: AbortSignal): Promise<DirectRun>;
  /** Ends the process and waits for its end: 5 s, and 5 s more after SIGKILL. May be called again. */
  discard(): Promise<void>;
}

export interface Launcher {
  /** `stem` is that of the plan which will be launched. @throws LaunchFailure of the stage "stem"; nothing is left then */
  prepare(stem: LaunchPlan["stem"], signal?: AbortSignal): Promise<PreparedStem>;
  /**
   * Finds the run of a directory (as in `LaunchRequest`). "gone": there is no exit status, and the kernel says that the run's processes are dead
   * (for a run without identity: nobody listens in the directory), or the run was never started. Resolves within a second; a supervisor that has
   * not answered by then is "running" and unreachable. Never rejects.
   */
  reconnect(
    directory: string,
    known?: KnownRun,
  ): Promise<
    | { readonly kind: "running"; readonly supervisor: Supervisor }
    | { readonly kind: "exited"; readonly exit: ExitStatus }
    | { readonly kind: "gone" }
  >;
  /** Treats a run as running without a check: it is unreachable, with this reason, until its supervisor answers or the kernel says that it is dead. */
  assume(directory: string, known: KnownRun, reason: string): Supervisor;
}
