/** The effects of a change of a container's state: one function for each; none of them uses another. The table gives their order (states.ts). */
import { messageOf } from "@fathom/base";
import type { Container } from "../container.ts";
import { publish, type ContainersContext } from "../context.ts";
import { startHealthMonitor } from "../health/health.ts";
import { clearRunDirectory, readAdoptFile, writeAdoptFile } from "../run-directory.ts";
import { lengthOfRunNs, watchEnd } from "./ends/end.ts";
import type { Change, Effects } from "./machine.ts";
import type { PolicyRestart } from "./ends/restart.ts";
import { wakeExitWaiters, wakeRemoveWaiters } from "./verbs/wait.ts";

/** The verbs that effects call. */
export interface Verbs {
  readonly beginTimer: (container: Container, restart: PolicyRestart) => void;
  readonly stopTimer: (container: Container) => void;
  readonly remove: (container: Container, options: { readonly volumes: boolean }) => Promise<void>;
  readonly removeRemains: (container: Container) => Promise<void>;
}

export function createEffects(engine: ContainersContext, verbs: Verbs): Effects {
  return {
    "stop-timer": verbs.stopTimer,
    "begin-timer": (container, { restart }) => {
      if (restart !== undefined) verbs.beginTimer(container, restart);
    },
    "begin-health": (container) => startHealthMonitor(engine, container),
    "stop-health": (container) => {
      container.health?.stop();
      container.health = undefined;
    },
    "drop-stem": (container) => engine.stems.drop(container.id),
    "complete-adopt": (container) => completeAdopt(engine, container),
    "watch-end": (container) => {
      if (container.process !== undefined) watchEnd(engine, container, container.process);
    },
    "follow-log": (container) => {
      engine.logShipping.begin(container);
      engine.logCompression.begin(container);
    },
    "give-streams": (container, change) => giveStreams(container, change),
    "end-execs": (container) => engine.execs.dropCreated(container),
    "drop-execs": (container) => engine.execs.removeOf(container),
    // Until the row is written, the supervisor's files hold the true state.
    "clear-run": (container) =>
      engine.containers.unwritten.has(container) ? undefined : clearRunDirectory(engine, container.id),
    "remove-files": verbs.removeRemains,
    "wake-end": (container, { end }) => wakeExitWaiters(container, end?.exitCode ?? container.record.state.exitCode),
    "wake-removal": (container, { failure }) => wakeRemoveWaiters(container, failure),
    "auto-remove": (container, change) => autoRemove(engine, container, change, verbs.remove),
    "publish-create": (container) => publish(engine, container, "create"),
    "publish-start": (container) => publish(engine, container, "start"),
    "publish-pause": (container) => publish(engine, container, "pause"),
    "publish-unpause": (container) => publish(engine, container, "unpause"),
    "publish-end": (container, change) => publishEnd(engine, container, change),
    "publish-destroy": (container) => publish(engine, container, "destroy"),
  };
}

function publishEnd(engine: ContainersContext, container: Container, { end }: Change): void {
  const { state } = container.record;
  if (end?.oomKilled === true) publish(engine, container, "oom");
  publish(engine, container, "die", {
    exitCode: String(state.exitCode),
    execDuration: String(lengthOfRunNs(state) / 1_000_000_000n),
  });
}

/**
 * A process that joins a pid namespace is made during the launch. Without its identity, the next daemon finds it through the row, if it still
 * exists.
 */
function completeAdopt(engine: ContainersContext, container: Container): void {
  const identity = container.process?.supervisor.identity;
  if (identity === undefined || container.record.spec.pid.kind !== "container") return;
  const adopt = readAdoptFile(engine.config, container.id);
  if (adopt !== undefined && adopt.identity === undefined)
    writeAdoptFile(engine.config, container.id, { ...adopt, identity });
}

/** First to clients that attached before the launch, then to those that attached during it. */
async function giveStreams(container: Container, { streams }: Change): Promise<void> {
  streams?.pending.forEach((one, index) => one.started.resolve(streams.attachments[index]));
  for (const pending of container.pendingAttach) {
    container.pendingAttach.delete(pending);
    try {
      pending.started.resolve(await container.process?.supervisor.attach(pending.options));
    } catch (error) {
      pending.started.reject(error);
    }
  }
}

async function autoRemove(
  engine: ContainersContext,
  container: Container,
  { end }: Change,
  remove: Verbs["remove"],
): Promise<void> {
  // While the daemon stops, its containers stay unchanged for the next daemon. It does --rm when it starts.
  if (!container.record.spec.removeOnExit || engine.shuttingDown.aborted) return;
  // A restart by the user starts it again, unless its start fails.
  if (end !== undefined && container.restarts > 0) return;
  if (end !== undefined) engine.containers.departed.add(container, engine.clock.monotonicMs());
  try {
    await remove(container, { volumes: true });
  } catch (error) {
    engine.logger.error("removing a container at its end failed", { error: messageOf(error), id: container.id });
  }
}
