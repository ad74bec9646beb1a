/** Execs: additional processes in running containers. They are only in memory. An exec that has ended can be inspected for five minutes. */
import { EngineError, randomId } from "@fathom/base";
import type { ExecHandle } from "@fathom/runtime";
import type { Container } from "../container.ts";
import { ContainerProblem } from "../problem.ts";
import type { ExecSpec } from "./exec-spec.ts";

const keepEndedMs = 5 * 60_000;
const keepEndedCount = 1000;
/** The limit for execs that are created but not started. At the limit, those older than `keepCreatedMs` are dropped. */
const createdLimit = 1000;
const keepCreatedMs = 5 * 60_000;
/** The limit for commands and environments of all execs that do not run. */
const textLimit = 64 * 1024 * 1024;

export interface Exec {
  readonly id: string;
  readonly container: Container;
  readonly spec: ExecSpec;
  state: "created" | "running" | "ended";
  exitCode: number | undefined;
  /** Present when its program runs. */
  handle: ExecHandle | undefined;
  /** Monotonic; 0 while it has not ended. */
  endedMs: number;
}

/** An exec that is in no table yet. */
export function newExec(container: Container, spec: ExecSpec, state: "created" | "running"): Exec {
  return { id: randomId(), container, spec, state, exitCode: undefined, handle: undefined, endedMs: 0 };
}

export class ExecTable {
  readonly #byId = new Map<string, Exec>();
  /** For the execs in the table. */
  readonly #facts = new Map<string, { readonly addedMs: number; readonly size: number }>();
  #size = 0;
  /** Execs in the table that have ended, the first to end first. */
  readonly #ended = new Map<string, Exec>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** @throws unavailable when too many execs were created and never started */
  add(exec: Exec): void {
    this.#prune();
    const size = textSize(exec);
    if (exec.state === "created") this.#makeRoom(size);
    this.#facts.set(exec.id, { addedMs: this.#nowMs(), size });
    this.#size += size;
    this.#byId.set(exec.id, exec);
    exec.container.execs.add(exec.id);
  }

  /** @throws ContainerProblem "no-such-exec" */
  find(id: string): Exec {
    const exec = this.#byId.get(id) ?? this.#byPrefix(id);
    if (exec === undefined) throw new ContainerProblem({ kind: "no-such-exec", id });
    return exec;
  }

  #byPrefix(id: string): Exec | undefined {
    if (!/^[0-9a-f]{12,63}$/.test(id)) return undefined;
    const found = [...this.#byId.values()].filter((exec) => exec.id.startsWith(id));
    return found.length === 1 ? found[0] : undefined;
  }

  ended(exec: Exec): void {
    exec.state = "ended";
    exec.endedMs = this.#nowMs();
    exec.container.execs.delete(exec.id);
    if (this.#byId.has(exec.id)) this.#ended.set(exec.id, exec);
  }

  remove(id: string): void {
    this.#byId.get(id)?.container.execs.delete(id);
    this.#byId.delete(id);
    this.#ended.delete(id);
    this.#size -= this.#facts.get(id)?.size ?? 0;
    this.#facts.delete(id);
  }

  /** Removes the execs of a removed container. */
  removeOf(container: Container): void {
    for (const exec of this.list()) if (exec.container === container) this.remove(exec.id);
  }

  /** Removes the execs of a container that has ended, because they can never start. For an exec that runs, the supervisor reports its end. */
  dropCreated(container: Container): void {
    for (const id of container.execs) if (this.#byId.get(id)?.state === "created") this.remove(id);
  }

  list(): readonly Exec[] {
    return [...this.#byId.values()];
  }

  #prune(): void {
    const oldest = this.#nowMs() - keepEndedMs;
    for (const [id, { endedMs }] of this.#ended) {
      if (endedMs >= oldest && this.#ended.size <= keepEndedCount) return;
      this.remove(id);
    }
  }

  #makeRoom(size: number): void {
    // The size of each exec is only computed when all together might be too large.
    if (this.#byId.size - this.#ended.size < createdLimit && this.#size + size <= textLimit) return;
    const created: Exec[] = [];
    const ended: Exec[] = [];
    let text = size;
    for (const exec of this.#byId.values()) {
      if (exec.state === "running") continue;
      (exec.state === "created" ? created : ended).push(exec);
      text += this.#facts.get(exec.id)?.size ?? 0;
    }
    const give = (exec: Exec): void => {
      text -= this.#facts.get(exec.id)?.size ?? 0;
      this.remove(exec.id);
    };
    let left = created.length;
    const full = (): boolean => left >= createdLimit || text > textLimit;
    for (const exec of ended) if (text > textLimit) give(exec);
    const oldest = this.#nowMs() - keepCreatedMs;
    for (const exec of created) {
      if (!full() || (this.#facts.get(exec.id)?.addedMs ?? 0) > oldest) break;
      give(exec);
      left--;
    }
    if (full())
      throw new EngineError(
        "unavailable",
        `too many execs were created and not started: ${left} (at most ${createdLimit}, and ${textLimit} bytes of their commands and environments): start them, or try again later`,
      );
  }
}

/** The parts that a client can make large. */
function textSize({ spec }: Exec): number {
  const texts = [...spec.command, ...spec.environment, spec.user, spec.workingDirectory];
  return texts.reduce((sum, text) => sum + text.length, 0);
}
