/**
 * What the kernel says about a process. Only this decides that a supervisor or a container is dead: a failed connection, a missing answer or a
 * full descriptor table proves nothing. A number alone is not enough either, because it may belong to another process later. So a process is
 * identified by its number and its start time.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { isSysError, type Sys, isStoppedState, parseProcessStat } from "@fathom/sys";
import type { ProcessIdentity, RunIdentity } from "../contract.ts";
import { isErrno } from "@fathom/base";

/**
 * "ending": it no longer executes its program but has not ended: the first process of a pid namespace waits there until all others in it have
 * ended and their parents have read their status. "ended": a zombie, whose parent has not read its status yet. "unknown": this process cannot
 * find out (no descriptor left, another pid namespace).
 */
export type Condition =
  | { readonly kind: "running" | "stopped" | "ending" | "gone" | "unknown" }
  /** `waitStatus` as of waitpid(2); undefined when the kernel does not show it. */
  | { readonly kind: "ended"; readonly waitStatus: number | undefined };

interface Stat {
  readonly state: string;
  readonly parent: number;
  readonly flags: number;
  readonly threads: number;
  readonly startTime: string;
  readonly waitStatus: number;
}

/** From <linux/sched.h>: the process is leaving the kernel. */
const PF_EXITING = 4;

/** proc(5), /proc/PID/stat: fields 3, 4, 9, 20, 22 and 52. undefined when the process does not exist. @throws when it cannot be read */
function readStat(pid: number | string): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  const { state, field } = parseProcessStat(text);
  return {
    state,
    parent: Number(field(4)),
    flags: Number(field(9)),
    threads: Number(field(20)),
    startTime: field(22),
    waitStatus: Number(field(52)),
  };
}

/** The process with this number now; undefined when there is none, or when it cannot be seen. */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const stat = pid > 0 ? readStat(pid) : undefined;
    return stat === undefined ? undefined : { pid, startTime: stat.startTime };
  } catch {
    return undefined;
  }
}

/** The number of a process's parent; undefined when the process does not exist or cannot be seen. */
export function parentOf(pid: number): number | undefined {
  try {
    return readStat(pid)?.parent;
  } catch {
    return undefined;
  }
}

export function conditionOf({ pid, startTime }: ProcessIdentity): Condition {
  let stat: Stat | undefined;
  try {
    stat = readStat(pid);
  } catch {
    return { kind: "unknown" };
  }
  if (stat === undefined || stat.startTime !== startTime || stat.state === "X") return { kind: "gone" };
  if (stat.threads > 1 && (stat.state === "Z" || isExiting(stat)))
    // Only the first thread has ended: the other threads are still the process.
    return threadsOf(pid);
  if (stat.state === "Z")
    // Without the right to read it, the kernel shows 0.
    return { kind: "ended", waitStatus: process.getuid?.() === 0 ? stat.waitStatus : undefined };
  if (isExiting(stat)) return { kind: "ending" };
  return { kind: isStoppedState(stat.state) ? "stopped" : "running" };
}

const isExiting = ({ flags }: Stat): boolean => (flags & PF_EXITING) !== 0;

function threadsOf(pid: number): Condition {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).flatMap((thread) => readStat(`${pid}/task/${thread}`) ?? []);
    const alive = threads.filter((thread) => !isExiting(thread));
    if (alive.length === 0) return { kind: "ending" };
    return { kind: alive.every(({ state }) => isStoppedState(state)) ? "stopped" : "running" };
  } catch {
    return { kind: "unknown" };
  }
}

let place: Pick<RunIdentity, "bootId" | "pidNamespace"> | undefined;

/** Where process numbers are valid: this boot, this pid namespace. undefined when it cannot be read now. */
function here(): Pick<RunIdentity, "bootId" | "pidNamespace"> | undefined {
  try {
    return (place ??= {
      bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
      pidNamespace: readlinkSync("/proc/self/ns/pid"),
    });
  } catch {
    return undefined;
  }
}

/** A process, and where its number is valid: plain data that callers keep on disk. */
export type PlacedProcess = Pick<RunIdentity, "process" | "bootId" | "pidNamespace">;

/** undefined when it has ended or cannot be examined. */
export function placedProcess(pid: number): PlacedProcess | undefined {
  const [process, where] = [identify(pid), here()];
  return process === undefined || where === undefined ? undefined : { process, ...where };
}

/** After a reboot it has ended; from another pid namespace nothing can be seen. */
export function conditionOfPlaced(placed: PlacedProcess): Condition {
  const elsewhere = isElsewhere(placed);
  return elsewhere === undefined ? conditionOf(placed.process) : { kind: elsewhere };
}

/** Both processes of a run; undefined when one has ended or cannot be examined. */
export function identifyRun(pid: number, supervisorPid: number): RunIdentity | undefined {
  return runOf(identify(pid), identify(supervisorPid));
}

/** The same of processes that are identified already. */
export function runOf(
  process: ProcessIdentity | undefined,
  supervisor: ProcessIdentity | undefined,
): RunIdentity | undefined {
  const where = here();
  return process === undefined || supervisor === undefined || where === undefined
    ? undefined
    : { process, supervisor, ...where };
}

/** Children of this process that have not been reaped. Empty when that cannot be seen. */
export function identifyChildren(pid: number): readonly ProcessIdentity[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return children.flatMap((child) => identify(Number(child)) ?? []);
  } catch {
    return [];
  }
}

/** The run of a supervisor that did not report it: its only child since its launch. */
export function identifyBySupervisor(supervisorPid: number): RunIdentity | undefined {
  try {
    const children = readFileSync(`/proc/${supervisorPid}/task/${supervisorPid}/children`, "utf8").trim().split(" ");
    return identifyRun(Number(children[0]), supervisorPid);
  } catch {
    return undefined;
  }
}

/** The run of a process whose parent is a supervisor, for containers that were started before identities were stored. */
export function identifyByProcess(pid: number): RunIdentity | undefined {
  try {
    const parent = parentOf(pid) ?? 0;
    if (parent <= 1 || !readFileSync(`/proc/${parent}/cmdline`, "latin1").startsWith("fathom-init")) return undefined;
    return identifyRun(pid, parent);
  } catch {
    return undefined;
  }
}

/** The state of one process of a run. After a reboot it has ended; from another pid namespace nothing can be seen. */
export function conditionIn(run: RunIdentity, part: "process" | "supervisor"): Condition {
  const elsewhere = isElsewhere(run);
  return elsewhere === undefined ? conditionOf(run[part]) : { kind: elsewhere };
}

/** What the numbers of a run mean here; undefined when they are the numbers of its processes. */
function isElsewhere(run: Pick<RunIdentity, "bootId" | "pidNamespace">): "gone" | "unknown" | undefined {
  const where = here();
  if (where === undefined) return "unknown";
  if (run.bootId !== where.bootId) return "gone";
  return run.pidNamespace === where.pidNamespace ? undefined : "unknown";
}

/** `signalExactly` to the first process of a run, which may be from before a reboot or from another pid namespace. */
export function signalRun(
  sys: Pick<Sys, "pidfdOpen" | "pidfdSendSignal" | "close">,
  run: PlacedProcess,
  signal: number,
): "sent" | "gone" | "unknown" {
  return isElsewhere(run) ?? signalExactly(sys, run.process, signal);
}

/** Whether the number of a run's first process still belongs to it, and it has neither ended nor is ending. */
export function isStillRunning(run: RunIdentity): boolean {
  const condition = conditionIn(run, "process");
  return condition.kind !== "ending" && !isDead(condition);
}

/** `isStillRunning` for all of them, in one call. False means that one may not run: then the caller checks each. */
export function areStillRunning(sys: Pick<Sys, "allRun">, runs: readonly RunIdentity[]): boolean {
  return runs.every((run) => isElsewhere(run) === undefined) && sys.allRun(runs.map((run) => run.process));
}

/** Whether a run's first process is ending; other processes in its pid namespace may delay that. */
export function isEnding(run: RunIdentity): boolean {
  return conditionIn(run, "process").kind === "ending";
}

/** Neither running nor able to run again. */
export function isDead({ kind }: Condition): boolean {
  return kind === "gone" || kind === "ended";
}

/**
 * Sends a signal to exactly this process: first the descriptor is opened, then the start time is compared, so that a reused number is noticed.
 * "sent" also for a zombie, which accepts every signal; "unknown" when it could not be tried.
 */
export function signalExactly(
  sys: Pick<Sys, "pidfdOpen" | "pidfdSendSignal" | "close">,
  identity: ProcessIdentity,
  signal: number,
): "sent" | "gone" | "unknown" {
  let pidfd: number;
  try {
    pidfd = sys.pidfdOpen(identity.pid);
  } catch (error) {
    return isSysError(error, "ESRCH") ? "gone" : "unknown";
  }
  try {
    const condition = conditionOf(identity);
    if (condition.kind === "unknown") return "unknown";
    if (condition.kind === "gone") return "gone";
    sys.pidfdSendSignal(pidfd, signal);
    return "sent";
  } catch (error) {
    if (isSysError(error, "ESRCH")) return "gone";
    throw error;
  } finally {
    sys.close(pidfd);
  }
}
