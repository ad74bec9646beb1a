/** Work that begins again once requests are served. */
import { zeroTime } from "@fathom/base";
import type { ContainersContext } from "../context.ts";
import { decideAgain, policyFacts } from "../lifecycle/ends/end.ts";
import { removeContainer } from "../lifecycle/verbs/remove.ts";
import { firstDelayMs, restartsWithDaemon } from "../lifecycle/ends/restart-policy.ts";
import { attempt } from "./attempt.ts";

/** Restart policies, and --rm for containers that ended meanwhile or (as in Docker) never started. Called when requests are served. */
export async function resume(engine: ContainersContext): Promise<void> {
  for (const container of engine.containers.list()) {
    const { state, spec } = container.record;
    if (container.process !== undefined) continue;
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
    else if (spec.removeOnExit)
      await attempt(engine, `removing ${container.id}`, () =>
        engine.mutex.run(container.id, () => removeContainer(engine, container, { volumes: true })),
      );
    else if (state.status === "restarting")
      await engine.machine.apply(container, "cancel", { patch: { state: { ...state, status: "exited" } } });
  }
}
