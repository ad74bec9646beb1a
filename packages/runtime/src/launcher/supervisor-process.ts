/** fathom-init as this process's child: start it, move it to its cgroups, watch it during a launch, kill it, reap it. */
import { EngineError } from "@fathom/base";
import {
  errnoNumber,
  errnoText,
  isSysError,
  type SpawnRequest,
  type Sys,
  stoppedLookMs,
  stoppedLooks,
  SIGKILL,
} from "@fathom/sys";
import { WireWriter } from "../plan/wire.ts";
import type { SupervisorConnection } from "../connection/connection.ts";
import type { ProcessIdentity } from "../contract.ts";
import { conditionOf, identifyChildren, signalExactly } from "../supervisor/process-facts.ts";
import { messageTypes, SupervisorFailure } from "../connection/protocol.ts";

export type ChildSys = Pick<Sys, "spawn" | "kill" | "waitpid" | "pidfdOpen" | "pidfdSendSignal" | "close" | "mknodat">;

/** `reaped` resolves when it has ended and is reaped. */
export interface SupervisorChild {
  readonly pid: number;
  /** undefined when it could not be found out. */
  readonly process: ProcessIdentity | undefined;
  readonly reaped: Promise<void>;
}

export interface SupervisorPlace {
  /** Files with which a process joins its cgroups, as `Cgroup.procsFiles`. */
  readonly cgroupProcs: readonly string[];
  /**
   * The v2 cgroup among them, as a descriptor of its directory. A process that starts there need not move there; a move would stop every fork
   * and exit of the machine for a moment.
   */
  readonly birthplace?: { readonly directoryFd: number; readonly procsFile: string };
  /** A container's own score is an operation of its plan. */
  readonly oomScoreAdj: number;
  /** The supervisor then works where it is. */
  onFailure(error: EngineError): void;
}

/** A child must be reaped, or it stays as a zombie. It ends within moments after its socket; it is checked again, at longer and longer intervals. */
export async function reap(sys: ChildSys, pid: number): Promise<void> {
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
 * Signals a supervisor that is our own, not yet reaped child, so its number cannot belong to another process. Its child processes end with it.
 * The exception is a child that was stopped before it asked for that; it also holds a copy of the supervisor's descriptors.
 */
export function killSupervisor(sys: ChildSys, pid: number): void {
  const children = identifyChildren(pid);
  try {
    sys.kill(pid, SIGKILL);
  } catch (error) {
    if (!isSysError(error, "ESRCH")) throw error;
  }
  for (const child of children) signalExactly(sys, child, SIGKILL);
}

/** undefined when the kernel cannot do it: then the process is moved. */
export function spawnInCgroup(sys: ChildSys, request: SpawnRequest, cgroupFd: number): number | undefined {
  try {
    return sys.spawn({ ...request, cgroupFd });
  } catch {
    return undefined;
  }
}

/** Never rejects. */
export async function moveSupervisor(
  connection: SupervisorConnection,
  place: SupervisorPlace,
  procsFiles: readonly string[],
): Promise<void> {
  const payload = new WireWriter();
  payload.list(procsFiles, (file) => payload.text(file));
  try {
    await connection.request(messageTypes.place, payload.text(String(place.oomScoreAdj)).finish());
  } catch (error) {
    // Only an error of the move says something about the place.
    if (error instanceof SupervisorFailure && error.errno !== errnoNumber("ENOSYS"))
      place.onFailure(
        new EngineError("internal", `${error.call} ${error.detail}: ${errnoText(error.errno)}`, { cause: error }),
      );
  }
}

/** Does not wait for a stem, or a launch, whose supervisor is stopped: nothing of it runs yet. */
export function giveUpWhenStopped(connection: SupervisorConnection, { process }: SupervisorChild): void {
  connection.onSuspect = () => {
    if (process !== undefined && conditionOf(process).kind === "stopped")
      connection.giveUp(`it (process ${process.pid}) is stopped, by a signal or a debugger`);
  };
}

/** Its supervisor answers, but the process that becomes the container's (or one that makes it) is stopped. */
export function giveUpWhenChildStopped(
  connection: SupervisorConnection,
  supervisorPid: number,
): ReturnType<typeof setInterval> {
  let stopped = 0;
  return setInterval(() => {
    const child = identifyChildren(supervisorPid).find((one) => conditionOf(one).kind === "stopped");
    stopped = child === undefined ? 0 : stopped + 1;
    // A single stop may come from the program itself, which has just begun.
    if (stopped === stoppedLooks)
      connection.giveUp(
        `the process that it made for the container (${child?.pid}) is stopped, by a signal or a debugger`,
      );
  }, stoppedLookMs);
}
