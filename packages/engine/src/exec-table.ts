/** Execs: further processes in running containers. Kept in memory only; one that ended can be inspected for five minutes. */
import { EngineError } from "@fathom/base";
import type { ExecHandle } from "@fathom/runtime";
import type { ExecCreateRequest } from "@fathom/spec";
import type { Container } from "./container.ts";

const keepEndedMs = 5 * 60_000;
const keepEndedCount = 1000;

export interface Exec {
  readonly id: string;
  readonly container: Container;
  readonly request: ExecCreateRequest;
  readonly command: readonly string[];
  state: "created" | "running" | "ended";
  exitCode: number | undefined;
  handle: ExecHandle | undefined;
  /** Resolves when the process's end is known. */
  endedMs: number;
}

export class ExecTable {
  readonly #byId = new Map<string, Exec>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  add(exec: Exec): void {
    this.#prune();
    this.#byId.set(exec.id, exec);
    exec.container.execs.add(exec.id);
  }

  /** @throws not-found */
  find(id: string): Exec {
    const exec = this.#byId.get(id) ?? this.#byPrefix(id);
    if (exec === undefined) throw new EngineError("not-found", `No such exec instance: ${id}`);
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
  }

  remove(id: string): void {
    this.#byId.get(id)?.container.execs.delete(id);
    this.#byId.delete(id);
  }

  /** Those of a container that is gone. */
  removeOf(container: Container): void {
    for (const exec of this.list()) if (exec.container === container) this.remove(exec.id);
  }

  list(): readonly Exec[] {
    return [...this.#byId.values()];
  }

  #prune(): void {
    const ended = [...this.#byId.values()].filter((exec) => exec.state === "ended");
    const oldest = this.#nowMs() - keepEndedMs;
    for (const [index, exec] of ended.entries())
      if (exec.endedMs < oldest || ended.length - index > keepEndedCount) this.#byId.delete(exec.id);
  }
}
