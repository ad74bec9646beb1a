/**
 * Ends that nobody reports. A supervisor reports the end of its container, but a stopped supervisor does not, and nobody contacts it while
 * nobody needs it. So the daemon asks the kernel now and then about every first process. When one has ended, the daemon examines its
 * supervisor.
 */
import { untilLook } from "@fathom/base";
import { areStillRunning, isEnding, isStillRunning } from "@fathom/runtime";
import type { Container, RunningProcess } from "../../container.ts";
import type { ContainersContext } from "../../context.ts";
import { thawForEnd } from "../verbs/pause.ts";

const lookMs = 5000;

const looking = new WeakSet<ContainersContext>();

/** Begins to check, unless it already does. It stops when no container runs. */
export function lookForSilentEnds(engine: ContainersContext): void {
  if (looking.has(engine)) return;
  looking.add(engine);
  void (async () => {
    for (;;) {
      await engine.clock.sleep(untilLook(lookMs, engine.clock.monotonicMs()), engine.shuttingDown);
      const running = engine.containers.list().filter(({ process }) => process !== undefined);
      if (running.length === 0) return;
      // One call for all, because it runs again and again while nothing happens. With one call each, an idle daemon would map megabytes of its
      // program again.
      const runs = running.flatMap(({ process }) => process?.supervisor.identity ?? []);
      if (areStillRunning(engine.sys, runs)) continue;
      for (const container of running) lookAt(engine, container);
    }
  })()
    .catch((error: unknown) => {
      if (!engine.shuttingDown.aborted) engine.logger.error("looking for ends of containers failed", { error });
    })
    .finally(() => looking.delete(engine));
}

function lookAt(engine: ContainersContext, container: Container): void {
  const { process } = container;
  const identity = process?.supervisor.identity;
  if (process === undefined || identity === undefined || isStillRunning(identity)) return;
  process.supervisor.probe();
  freeEnd(engine, container, process);
}

/**
 * The first process of a pid namespace ends only when all others in it have ended and their parents have read their status. By then the kernel
 * has killed the processes of containers that joined it. But paused ones cannot die, and a stopped supervisor does not read a status.
 */
export function freeEnd(engine: ContainersContext, container: Container, process: RunningProcess): void {
  const { identity } = process.supervisor;
  if (identity === undefined || !isEnding(identity)) return;
  for (const other of joinedTo(engine, container)) {
    if (other.process === undefined) continue;
    other.process.supervisor.probe();
    thawForEnd(engine, other, other.process).catch((error: unknown) =>
      engine.logger.warn("a paused container was killed and cannot be thawed", { error, id: other.id }),
    );
  }
}

/** The container whose pid namespace this container uses, also through other containers. */
function joinedTo(engine: ContainersContext, container: Container): Container[] {
  const joined = engine.containers.list().filter((other) => other !== container && joins(other, container.id));
  return [...joined, ...joined.flatMap((other) => joinedTo(engine, other))];
}

function joins({ record }: Container, id: string): boolean {
  return record.spec.pid.kind === "container" && record.spec.pid.container === id;
}
