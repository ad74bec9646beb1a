/**
 * The one owner of a container's state. A caller reports what happened. The machine looks it up in the table, writes the row, changes the state
 * and runs the effects. All of this needs the container's lock (`locked`), except at a daemon's start, when nothing else runs.
 */
import { EngineError, messageOf, type ErrorCode, type Logger } from "@fathom/base";
import type { ContainerPatch, ContainerTable } from "../rows/table.ts";
import type { Container, RunningProcess } from "../container.ts";
import type { PendingStreams } from "../container.ts";
import { StepFailure } from "./step-failure.ts";
import { stateOfRow, statesWithProcess, transitions, type Effect, type Happening, type State } from "./states.ts";

/** Data of a happening. Effects read what they need. */
export interface Change {
  /** Changes of the row. */
  readonly patch?: ContainerPatch;
  /** For "started", "found-running", "found-paused". */
  readonly process?: RunningProcess;
  /** For "started": clients that attached before, and their streams. */
  readonly streams?: PendingStreams;
  /** For "ended", "wait" after an end, "found-ended", "found-waiting". */
  readonly end?: { readonly exitCode: number; readonly oomKilled: boolean };
  /** For "wait" and "resume": milliseconds until the start, and whether it counts as a restart. */
  readonly restart?: { readonly delayMs: number; readonly counted: boolean };
  /** For "kept". */
  readonly failure?: unknown;
}

export type Effects = Readonly<Record<Effect, (container: Container, change: Change) => void | Promise<void>>>;

/** Something that cannot happen in a container's present state. */
export class Refused extends EngineError {
  readonly happening: Happening;
  readonly state: State;
  readonly containerId: string;

  constructor(container: Container, happening: Happening) {
    super(codeOf(container.state, happening), `container ${container.id} is ${container.state}: no ${happening}`);
    this.happening = happening;
    this.state = container.state;
    this.containerId = container.id;
  }
}

function codeOf(state: State, happening: Happening): ErrorCode {
  return happening === "start" && statesWithProcess.has(state) && state !== "paused" ? "not-modified" : "conflict";
}

export class Machine {
  readonly #containers: ContainerTable;
  readonly #logger: Logger;
  #effects: Effects | undefined;

  constructor(containers: ContainerTable, logger: Logger) {
    this.#containers = containers;
    this.#logger = logger;
  }

  /** Called once, before anything happens: effects need the engine, and the engine needs the machine. */
  use(effects: Effects): void {
    this.#effects = effects;
  }

  /** @throws Refused when it cannot happen now */
  check(container: Container, happening: Happening): void {
    if (transitions[container.state][happening] === undefined) throw new Refused(container, happening);
  }

  /**
   * Resolves when all effects have run; the state changes before the first await.
   * @throws Refused; StepFailure "row" when the row must be written and cannot be written: then nothing has changed
   */
  apply(container: Container, happening: Happening, change: Change = {}): Promise<void> {
    const transition = transitions[container.state][happening];
    if (transition === undefined) throw new Refused(container, happening);
    this.#writeRow(container, transition.row, change.patch);
    container.state = transition.to === "row" ? stateOfRow(container.record) : transition.to;
    if (change.process !== undefined) container.process = change.process;
    if (!statesWithProcess.has(container.state)) container.process = undefined;
    return this.#follow(container, transition.effects, change);
  }

  #writeRow(
    container: Container,
    row: "must" | "may-wait" | "show" | "drop" | undefined,
    patch: ContainerPatch | undefined,
  ): void {
    try {
      if (row === "drop") this.#containers.delete(container);
      if (patch === undefined) return;
      if (row === "show") this.#containers.publish(container, patch);
      else if (row === "must") this.#containers.update(container, patch);
      else if (row === "may-wait") this.#containers.record(container, patch);
    } catch (error) {
      throw StepFailure.of("row", error);
    }
  }

  /** When an effect fails, the others still run, because the change has already happened. */
  async #follow(container: Container, effects: readonly Effect[], change: Change): Promise<void> {
    for (const effect of effects) {
      try {
        // No await when there is nothing to wait for: other code then sees all effects at once.
        const done = this.#effects![effect](container, change);
        if (done !== undefined) await done;
      } catch (error) {
        this.#logger.error("an effect of a change of a container's state failed", {
          effect,
          id: container.id,
          error: messageOf(error),
        });
      }
    }
  }
}
