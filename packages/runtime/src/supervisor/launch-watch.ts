/**
 * Ends the processes that a supervisor makes for execs and that are stopped, by a signal or a debugger, before their program runs. Nobody would resume them, and whoever
 * asked for the exec would wait for its whole deadline. The supervisor itself works, sees the end, and takes everything of that exec down.
 */
import { statSync } from "node:fs";
import { SIGKILL, stoppedLookMs, stoppedLooks, type Sys } from "@fathom/sys";
import type { ProcessIdentity } from "../contract.ts";
import { conditionOf, identifyChildren, signalExactly } from "./process-facts.ts";

export interface WatchedSupervisor {
  readonly supervisorPid: number;
  /** The container's first process: one with `--init` executes fathom-init for good, and its user may stop it for as long as he likes. */
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

  /** The last process that was ended because it was stopped, while this launch or one beside it was under way. */
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
