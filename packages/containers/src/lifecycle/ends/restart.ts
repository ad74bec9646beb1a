/** The wait of a restart policy, and the start after it. */
import type { Container } from "../../container.ts";
import type { ContainersContext } from "../../context.ts";
import { policyFacts } from "./end.ts";
import { decideRestart } from "./restart-policy.ts";
import { startContainer } from "../verbs/start.ts";

export interface PolicyRestart {
  /** Milliseconds until the start. */
  readonly delayMs: number;
  /** False when the daemon's own start restarts the container: counting begins again. */
  readonly counted: boolean;
}

/** Starts it again after the delay, unless the user or a shutdown comes first. */
export function beginTimer(engine: ContainersContext, container: Container, restart: PolicyRestart): void {
  const timer = new AbortController();
  container.restartTimer = timer;
  engine.clock
    .sleep(restart.delayMs, timer.signal)
    .then(() =>
      engine.mutex.run(container.id, async () => {
        if (timer.signal.aborted || container.restartTimer !== timer) return;
        container.restartTimer = undefined;
        // The row says "restarting", so the next daemon does it.
        if (!engine.shuttingDown.aborted) await startAgain(engine, container, restart);
      }),
    )
    .catch((error) => {
      if (!timer.signal.aborted) engine.logger.error("restarting a container failed", { error, id: container.id });
    });
}

async function startAgain(
  engine: ContainersContext,
  container: Container,
  { delayMs, counted }: PolicyRestart,
): Promise<void> {
  try {
    await startContainer(engine, container, counted ? { byPolicy: { delayMs } } : {});
  } catch (error) {
    engine.logger.warn("a restart by policy failed", { error, id: container.id });
    const { record } = container;
    // A start that fails counts like a run that ends at once.
    const facts = policyFacts(record);
    const decision = decideRestart({
      ...facts,
      stoppedByUser: facts.stoppedByUser || engine.shuttingDown.aborted,
      ranForMs: 0,
      previousDelayMs: delayMs,
    });
    // The end for which others wait was the last one.
    if (decision.kind === "stay")
      return engine.machine.apply(container, "give-up", {
        patch: {
          state: { ...record.state, status: record.state.status === "restarting" ? "exited" : record.state.status },
        },
      });
    await engine.machine.apply(container, "wait", {
      patch: { restartCount: record.restartCount + 1, state: { ...record.state, status: "restarting" } },
      restart: { delayMs: decision.delayMs, counted: true },
    });
  }
}

export function stopTimer(container: Container): void {
  container.restartTimer?.abort();
  container.restartTimer = undefined;
}
