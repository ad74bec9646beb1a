/** fathom-init as this process's child: born, moved to its place, watched while a launch is under way, killed, reaped. */
import { EngineError } from "@fathom/base";
import { errnoText, isSysError, type SpawnRequest, type Sys, stoppedLookMs, stoppedLooks, SIGKILL } from "@fathom/sys";
import { WireWriter } from "../plan/wire.ts";
import type { SupervisorConnection } from "../supervisor/connection.ts";
import { conditionOf, identify, identifyChildren, signalExactly } from "../supervisor/process-facts.ts";
import { messageTypes, SupervisorFailure } from "../supervisor/protocol.ts";

export type ChildSys = Pick<Sys, "spawn" | "kill" | "waitpid" | "pidfdOpen" | "pidfdSendSignal" | "close">;

/** `reaped` resolves when it has ended and left the process table. */
export interface SupervisorChild {
  readonly pid: number;
  readonly reaped: Promise<void>;
}

export interface SupervisorPlace {
  /** Files by which a process joins its cgroups, as `Cgroup.procsFiles`. */
  readonly cgroupProcs: readonly string[];
  /**
   * The cgroup of v2 among them, as a descriptor of its directory: who is born there need not move there, which would stop every fork and exit of
   * the machine for a moment.
   */
  readonly birthplace?: { readonly directoryFd: number; readonly procsFile: string };
  /** A container's own score is an operation of its plan. */
  readonly oomScoreAdj: number;
  /** The supervisor then does its work where it is. */
  onFailure(error: EngineError): void;
}

/** A child must be waited for, or it stays as a zombie. It ends within moments of its socket: looked at again, ever less often. */
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
 * Signals a supervisor that is our own, not yet reaped child: its number cannot have been given to another process. What it has made ends with it, except a process that was
 * stopped before it asked for that, and that holds a copy of its descriptors.
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

/** undefined where the kernel does not do it: the process is moved then. */
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
    const ENOSYS = 38;
    // A refusal alone says something of the place.
    if (error instanceof SupervisorFailure && error.errno !== ENOSYS)
      place.onFailure(
        new EngineError("internal", `${error.call} ${error.detail}: ${errnoText(error.errno)}`, { cause: error }),
      );
  }
}

/** A stem or a launch with a supervisor that is stopped is not waited for: nothing of it runs yet. */
export function giveUpWhenStopped(connection: SupervisorConnection, supervisorPid: number): void {
  const supervisor = identify(supervisorPid);
  connection.onSuspect = () => {
    if (supervisor !== undefined && conditionOf(supervisor).kind === "stopped")
      connection.giveUp(`it (process ${supervisorPid}) is stopped, by a signal or a debugger`);
  };
}

/** Its supervisor answers, but the process that becomes the container, or one that makes it, is stopped. */
export function giveUpWhenChildStopped(
  connection: SupervisorConnection,
  supervisorPid: number,
): ReturnType<typeof setInterval> {
  let stopped = 0;
  return setInterval(() => {
    const child = identifyChildren(supervisorPid).find((one) => conditionOf(one).kind === "stopped");
    stopped = child === undefined ? 0 : stopped + 1;
    // Once may be the program's own doing, which has begun a moment ago.
    if (stopped === stoppedLooks)
      connection.giveUp(
        `the process that it made for the container (${child?.pid}) is stopped, by a signal or a debugger`,
      );
  }, stoppedLookMs);
}
