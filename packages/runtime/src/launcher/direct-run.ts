/** A container's first process without a supervisor: DirectRun of the contract. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { EngineError, randomId, settlesWithin } from "@fathom/base";
import { isSysError, processEnd, type Sys, SIGKILL } from "@fathom/sys";
import type { DirectIo, DirectRun, ExitStatus, ProcessIdentity } from "../contract.ts";
import type { LaunchPlan } from "../plan/plan.ts";
import { lostExit, timeNow } from "../supervisor/exit-status.ts";
import { signalExactly } from "../supervisor/process-facts.ts";
import { killLimitMs } from "../connection/waits.ts";
import { startCreated } from "./gate.ts";
import type { SupervisorChild } from "./supervisor-process.ts";

export type DirectSys = Pick<Sys, "waitpid" | "pidfdOpen" | "pidfdSendSignal" | "close" | "kill">;

/** As PRESERVED_LIMIT in child.h. */
const mostPreserved = 60;
/** fathom-init has nothing to do after the program runs. */
const releaseLimitMs = 5000;
const endLimitMs = 5000;

/** In the order in which fathom-init expects them. @throws invalid-argument */
export function directDescriptors(io: DirectIo, plan: LaunchPlan, gate: number | undefined): readonly number[] {
  const { streams, preservedFds = [] } = io;
  if (preservedFds.length > mostPreserved)
    throw new EngineError("invalid-argument", `${preservedFds.length} preserved descriptors; at most ${mostPreserved}`);
  if ((streams.kind === "console") !== (plan.terminal !== null))
    throw new EngineError(
      "invalid-argument",
      plan.terminal === null
        ? "a console socket needs a process with a terminal"
        : "a process with a terminal needs a console socket",
    );
  const own = streams.kind === "console" ? [streams.socketFd] : [streams.stdin, streams.stdout, streams.stderr];
  return [...own, ...(gate === undefined ? [] : [gate]), ...preservedFds];
}

/** Renamed into place, so that a reader always sees the whole number. */
export async function writePidFile(path: string, pid: number): Promise<void> {
  const early = join(dirname(path), `.${basename(path)}.${randomId().slice(0, 12)}`);
  try {
    await writeFile(early, String(pid), { flag: "wx", mode: 0o644 });
    await rename(early, path);
  } catch (error) {
    await rm(early, { force: true });
    throw error;
  }
}

/** Only the file that has this number: another program may have replaced it since. */
export async function removePidFile(path: string, pid: number): Promise<void> {
  if ((await readFile(path, "utf8").catch(() => "")) === String(pid)) await rm(path, { force: true });
}

export class DirectProcess implements DirectRun {
  readonly pid: number;
  readonly process: ProcessIdentity | undefined;
  readonly startedAt: string;
  readonly #sys: DirectSys;
  readonly #directory: string;
  readonly #supervisor: SupervisorChild;

  constructor(made: {
    readonly sys: DirectSys;
    readonly directory: string;
    readonly supervisor: SupervisorChild;
    readonly pid: number;
    readonly process: ProcessIdentity | undefined;
    readonly startedAt: string;
  }) {
    this.#sys = made.sys;
    this.#directory = made.directory;
    this.#supervisor = made.supervisor;
    this.pid = made.pid;
    this.process = made.process;
    this.startedAt = made.startedAt;
  }

  /**
   * Resolves when fathom-init has ended, and the process has its final parent. A fathom-init that is stopped is killed: the program does not need
   * it. If the kernel does not let it end, this does not wait for it.
   */
  async released(): Promise<void> {
    const { pid, reaped } = this.#supervisor;
    if (await settlesWithin(reaped, releaseLimitMs)) return;
    try {
      this.#sys.kill(pid, SIGKILL);
    } catch (error) {
      if (!isSysError(error, "ESRCH")) throw error;
    }
    await settlesWithin(reaped, killLimitMs);
  }

  async start(): Promise<void> {
    startCreated(this.#directory);
  }

  signal(signal: number): void {
    const sent = this.process === undefined ? "gone" : signalExactly(this.#sys, this.process, signal);
    if (sent === "gone") throw new EngineError("conflict", `signal ${signal}: the container's first process has ended`);
    if (sent === "unknown")
      throw new EngineError("unavailable", `signal ${signal}: the container's first process cannot be examined now`);
  }

  async wait(signal: AbortSignal = new AbortController().signal): Promise<ExitStatus> {
    // Waiting for a pidfd does not keep the event loop alive.
    const alive = setInterval(() => undefined, 2 ** 30);
    try {
      return await this.#reap(signal);
    } catch (error) {
      if (!isSysError(error, "ECHILD", "ESRCH")) throw error;
      return lostExit("it is not a child of this process");
    } finally {
      clearInterval(alive);
    }
  }

  async #reap(signal: AbortSignal): Promise<ExitStatus> {
    await processEnd(this.#sys, this.#sys.pidfdOpen(this.pid), signal);
    // Until then it is not this process's child.
    await this.released();
    const status = this.#sys.waitpid(this.pid);
    if (status === undefined) return lostExit("it has ended, and its parent cannot reap it");
    const { code, signal: killedBy } = status;
    return { code: killedBy === 0 ? code : 128 + killedBy, signal: killedBy, finishedAt: timeNow() };
  }
}

/** Kills the process of a launch that failed at the very end, and reaps it if it is this process's child. */
export async function endProcess(sys: DirectSys, process: ProcessIdentity | undefined): Promise<void> {
  if (process === undefined || signalExactly(sys, process, SIGKILL) === "gone") return;
  try {
    await processEnd(sys, sys.pidfdOpen(process.pid), AbortSignal.timeout(endLimitMs));
    sys.waitpid(process.pid);
  } catch {
    // It has another parent, or the kernel holds it: nothing can be done here.
  }
}
