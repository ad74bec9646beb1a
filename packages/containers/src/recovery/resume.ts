/** Work that begins again once requests are served. */
import { zeroTime } from "@fathom/base";
import type { Container } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import { decideAgain, policyFacts } from "../lifecycle/ends/end.ts";
import { removeContainer } from "../lifecycle/verbs/remove.ts";
import { firstDelayMs, restartsWithDaemon } from "../lifecycle/ends/restart-policy.ts";
import { attempt } from "./attempt.ts";

/**
 * Restart policies, and --rm for containers that ended meanwhile or (as in Docker) never started. Called when requests are served: a client may
 * start or remove a container first, and then there is nothing to do for it. The end of the daemon ends it too, after the container that it is
 * at.
 */
export async function resume(engine: ContainersContext): Promise<void> {
  for (const container of engine.containers.list()) {
    if (engine.shuttingDown.aborted) return;
    if (isAtRest(engine, container))
      await attempt(engine, `resuming ${container.id}`, () =>
        engine.mutex.run(container.id, async () => {
          if (isAtRest(engine, container)) await resumeOne(engine, container);
        }),
      );
  }
}

function isAtRest({ containers }: ContainersContext, container: Container): boolean {
  const { id, process, state } = container;
  return (
    containers.byId(id) === container &&
    process === undefined &&
    (state === "created" || state === "waiting" || state === "exited")
  );
}

async function resumeOne(engine: ContainersContext, container: Container): Promise<void> {
  const { state, spec } = container.record;
  const started = state.startedAt !== zeroTime;
  // Between two tries, or ended while no daemon ran: the policy continues where it was.
  const decision = started && state.status === "restarting" ? decideAgain(container.record) : undefined;
  if (decision?.kind === "restart")
    await engine.machine.apply(container, "resume", { restart: { delayMs: decision.delayMs, counted: true } });
  else if (started && restartsWithDaemon(policyFacts(container.record)))
    await engine.machine.apply(container, "wait", {
      patch: { state: { ...state, status: "restarting" } },
      restart: { delayMs: firstDelayMs, counted: false },
    });
  else if (spec.removeOnExit) await removeContainer(engine, container, { volumes: true });
  else if (state.status === "restarting")
    await engine.machine.apply(container, "cancel", { patch: { state: { ...state, status: "exited" } } });
}
