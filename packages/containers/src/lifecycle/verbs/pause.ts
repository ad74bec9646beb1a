/**
 * Who keeps a container's processes frozen: the user (then its status is "paused"), and each commit that reads its files. They continue when
 * nobody keeps them frozen. All of this needs the container's lock.
 */
import type { Container, RunningProcess } from "../../container.ts";
import { locked, mustRun, type ContainersContext } from "../../context.ts";
import type { ContainerState } from "../../record.ts";
import { Refused } from "../machine.ts";
import { deferred, settlesWithin } from "@fathom/base";

/** How long a freeze waits for execs that are being launched. */
const launchPatienceMs = 2000;

export async function pauseContainer(engine: ContainersContext, container: Container): Promise<void> {
  await locked(engine, container, async () => {
    engine.machine.check(container, "pause");
    const process = mustRun(container);
    if (process.commits.size === 0) await freeze(engine, process);
    try {
      await engine.machine.apply(container, "pause", { patch: withStatus(container, "paused") });
    } catch (error) {
      if (process.commits.size === 0) await process.cgroup.thaw();
      throw error;
    }
  });
}

function withStatus({ record }: Container, status: "paused" | "running"): { state: ContainerState } {
  return { state: { ...record.state, status } };
}

/** Execs that are being launched start their program first. New ones are rejected meanwhile. */
async function freeze(engine: ContainersContext, process: RunningProcess): Promise<void> {
  process.freezing = true;
  try {
    if (process.launchingExecs.size > 0)
      await settlesWithin(Promise.allSettled(process.launchingExecs), launchPatienceMs, { clock: engine.clock });
    await process.cgroup.freeze();
  } finally {
    process.freezing = false;
  }
}

/** Resolves when the container may continue: a commit that reads it ends first. */
export async function unpauseContainer(engine: ContainersContext, container: Container): Promise<void> {
  const commits = await locked(engine, container, async () => {
    // If only a commit keeps the container frozen, it shows as paused, and continues with this call.
    if (!container.paused) throw new Refused(container, "unpause");
    const process = mustRun(container);
    if (container.state === "paused") {
      if (process.commits.size === 0) await process.cgroup.thaw();
      await goesOn(engine, container);
    }
    return [...process.commits];
  });
  await Promise.all(commits);
}

function goesOn(engine: ContainersContext, container: Container): Promise<void> {
  return engine.machine.apply(container, "unpause", { patch: withStatus(container, "running") });
}

/**
 * A signal that should end the container is waiting, so the container continues, also when a user froze it. A commit then reads files that may
 * change, as without a pause.
 */
export async function thawForEnd(
  engine: ContainersContext,
  container: Container,
  process: RunningProcess,
): Promise<void> {
  await engine.mutex.run(container.id, async () => {
    if (container.process !== process || !container.paused) return;
    process.commits.clear();
    await process.cgroup.thaw();
    if (container.state === "paused") await goesOn(engine, container);
  });
}

/**
 * Freezes it for a commit; the caller holds its lock. Disposing takes the lock and lets the container continue, unless somebody else keeps it
 * frozen.
 */
export async function freezeForCommit(
  engine: ContainersContext,
  container: Container,
  process: RunningProcess,
): Promise<AsyncDisposable> {
  const frozen = process.commits.size > 0 || container.state === "paused";
  if (!frozen) await freeze(engine, process);
  const done = deferred<void>();
  const commit = done.promise;
  process.commits.add(commit);
  return {
    async [Symbol.asyncDispose]() {
      try {
        await engine.mutex.run(container.id, async () => {
          // A stop or kill has already thawed it.
          if (!process.commits.delete(commit)) return;
          if (container.process !== process || container.paused) return;
          try {
            await process.cgroup.thaw();
          } catch (error) {
            engine.logger.error("a container is still frozen after a commit: unpause it", { error, id: container.id });
            // The state must show that the container is frozen.
            if (mayBeFrozen(process))
              await engine.machine.apply(container, "stuck", { patch: withStatus(container, "paused") });
          }
        });
      } finally {
        done.resolve();
      }
    },
  };
}

/** True when it cannot be found out. */
function mayBeFrozen({ cgroup }: RunningProcess): boolean {
  try {
    return cgroup.frozen();
  } catch {
    return true;
  }
}
