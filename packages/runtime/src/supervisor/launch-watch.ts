/**
 * Ends processes for execs that are stopped (by a signal or a debugger) before their program runs. Nobody would resume them, and the client of
 * the exec would wait until its deadline. The supervisor itself works: it sees the end and removes everything of that exec.
 */
import { statSync } from "node:fs";
import { SIGKILL, stoppedLookMs, stoppedLooks, type Sys } from "@fathom/sys";
import type { ProcessIdentity } from "../contract.ts";
import { conditionOf, identifyChildren, signalExactly } from "./process-facts.ts";

export interface WatchedSupervisor {
  readonly supervisorPid: number;
  /** The container's first process. With `--init` it executes fathom-init permanently, and its user may stop it for any length of time. */
  readonly pid: number;
}

export class LaunchWatch {
  readonly #sys: Pick<Sys, "pidfdOpen" | "pidfdSendSignal" | "close">;
  readonly #of: WatchedSupervisor;
  #launches = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Checks in a row, by process. */
  #stopped = new Map<string, number>();
  #ended: ProcessIdentity | undefined;

  constructor(sys: Pick<Sys, "pidfdOpen" | "pidfdSendSignal" | "close">, of: WatchedSupervisor) {
    this.#sys = sys;
    this.#of = of;
  }

  /** The last process that was ended because it was stopped, during this launch or one at the same time. */
  get ended(): ProcessIdentity | undefined {
    return this.#ended;
  }

  /** A launch lasts until the returned function is called. */
  begin(): () => void {
    if (this.#launches++ === 0) {
      this.#ended = undefined;
      this.#timer = setInterval(() => this.#look(), stoppedLookMs);
    }
    return () => {
      if (--this.#launches > 0) return;
      clearInterval(this.#timer);
      this.#stopped.clear();
    };
  }

  #look(): void {
    const { supervisorPid, pid } = this.#of;
    const before = this.#stopped;
    this.#stopped = new Map();
    for (const child of identifyChildren(supervisorPid)) {
      if (child.pid === pid || conditionOf(child).kind !== "stopped" || !isSameProgram(child.pid, supervisorPid))
        continue;
      const key = `${child.pid} ${child.startTime}`;
      const looks = (before.get(key) ?? 0) + 1;
      this.#stopped.set(key, looks);
      if (looks < stoppedLooks) continue;
      this.#ended = child;
      signalExactly(this.#sys, child, SIGKILL);
    }
  }
}

/** Also false when it cannot be checked. */
function isSameProgram(pid: number, other: number): boolean {
  try {
    const [one, two] = [statSync(`/proc/${pid}/exe`), statSync(`/proc/${other}/exe`)];
    return one.dev === two.dev && one.ino === two.ino;
  } catch {
    return false;
  }
}
