/** The graceful end of a daemon: what it does with its containers. */
import { startTimer, settlesWithin, within } from "@fathom/base";
import type { Container } from "../../container.ts";
import { stopProcess } from "./stop.ts";
import type { ContainersContext } from "../../context.ts";

/** How long it waits for a start that is running. */
const startPatienceMs = 10_000;
const killPatienceMs = 2000;

/** Stops or leaves the containers; returns how many keep running. */
export async function stopForShutdown(engine: ContainersContext, leave: boolean): Promise<number> {
  const containers = engine.containers.list();
  for (const container of containers) {
    container.restartTimer?.abort();
    container.health?.stop();
  }
  // A start that is running finishes first, and then its container is stopped with the others.
  const settled = containers.map((container) => engine.mutex.run(container.id, () => container.health?.stop()));
  await within(Promise.all(settled), startPatienceMs, () => undefined, { clock: engine.clock });
  const running = containers.filter((container) => container.process !== undefined);
  if (leave) {
    for (const container of running) container.process?.supervisor.disconnect();
    return running.length;
  }
  const deadline = new AbortController();
  const stopTimer = startTimer(() => deadline.abort(), engine.config.shutdownTimeoutSeconds * 1000);
  await Promise.all(running.map((container) => stopOne(engine, container, deadline.signal)));
  stopTimer();
  const left = running.filter((container) => container.process !== undefined);
  for (const container of left) {
    engine.logger.warn("a container did not end with the daemon", { id: container.id });
    container.process?.supervisor.disconnect();
  }
  return left.length;
}

async function stopOne(engine: ContainersContext, container: Container, deadline: AbortSignal): Promise<void> {
  try {
    // Not a stop by the user: restart policies start it again with the next daemon.
    await stopProcess(engine, container, { signal: undefined, timeoutSeconds: undefined }, deadline, false);
  } catch (error) {
    if (!deadline.aborted) {
      engine.logger.warn("stopping a container failed", { error, id: container.id });
      return;
    }
    await container.process?.cgroup
      .kill()
      .catch((reason: unknown) => engine.logger.warn("ending a container failed", { error: reason, id: container.id }));
    if (container.process !== undefined)
      await settlesWithin(container.process.ended.promise, killPatienceMs, { clock: engine.clock });
  }
}
