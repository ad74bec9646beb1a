/** The verb start: the machine has the state, and `start-steps.ts` has the steps between its two changes. */
import { messageOf } from "@fathom/base";
import { LaunchFailure } from "@fathom/runtime";
import type { Container } from "../../container.ts";
import type { ContainersContext } from "../../context.ts";
import { endOfPreviousRun } from "../../files/archive-writers.ts";
import type { ContainerRecord } from "../../record.ts";
import { writeRow } from "../ends/late-rows.ts";
import { failedPatch, type RestartCounts } from "./start-row.ts";
import { startSteps } from "./start-steps.ts";

export interface StartOptions {
  /** A restart policy starts it: the count is increased and the delay is stored. Absent: the count begins anew. */
  readonly byPolicy?: { readonly delayMs: number };
  /** For clients that attach to this run and choose none. */
  readonly detachKeys?: Uint8Array | undefined;
}

/**
 * Starts a container; its key must be locked.
 * @throws Refused; LaunchFailure, which the state also records
 */
export async function startContainer(
  engine: ContainersContext,
  container: Container,
  options: StartOptions = {},
): Promise<void> {
  const { machine } = engine;
  engine.shuttingDown.throwIfAborted();
  machine.check(container, "start");
  // The end of the previous run must be known before the next run replaces it.
  if (engine.containers.unwritten.has(container)) await writeRow(engine, container);
  await endOfPreviousRun(container.writers);
  await machine.apply(container, "start");
  const counts = countsOf(container.record, options);
  const { detachKeys } = options;
  const result = await startSteps.run(
    { engine, container, counts, detachKeys },
    {
      done: (words, { report }) => report?.add(words()),
      undoFailed: (step, error) =>
        engine.logger.error("undoing a step of a start failed", { step, id: container.id, error: messageOf(error) }),
    },
  );
  if (result.kind === "failed") {
    const failure = LaunchFailure.of(result.stage, result.reason);
    await machine.apply(container, "failed", { patch: failedPatch(engine.words, container.record, failure) });
    throw failure;
  }
  engine.logger.debug("container started", { id: container.id, pid: container.record.state.pid });
  await result.made.followed.promise;
}

function countsOf({ restartCount }: ContainerRecord, { byPolicy }: StartOptions): RestartCounts {
  return {
    restartCount: byPolicy ? restartCount + 1 : 0,
    restartDelayMs: byPolicy?.delayMs ?? 0,
  };
}
