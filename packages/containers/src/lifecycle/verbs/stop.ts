/** Signals to a container, and the states after them: kill, stop, restart. */
import { EngineError, isEngineError, messageOf, settlesWithin, within } from "@fathom/base";
import { ContainerProblem } from "../../problem.ts";
import type { Container, RunningProcess } from "../../container.ts";
import { startContainer } from "./start.ts";
import { locked, mustRun, publish, type ContainersContext } from "../../context.ts";
import { thawForEnd } from "./pause.ts";
import { freeEnd } from "../ends/silent-ends.ts";
import { inStep } from "../step-failure.ts";
import { SIGKILL } from "../../signals.ts";

/** Docker's default. */
const defaultStopTimeoutSeconds = 10;
/** After SIGKILL, how long to wait for the end before the client gets an error. */
const killPatienceMs = 10_000;
/** How often to check what delays an end. */
const endLookMs = 500;
/** How long a stop, kill, restart or removal waits for a start that is running. The steps of a start have shorter limits of their own. */
const startPatienceMs = 60_000;

export interface StopOptions {
  /** undefined: the container's own value. */
  readonly signal: number | undefined;
  /** undefined: the container's own value; negative: wait for ever. */
  readonly timeoutSeconds: number | undefined;
}

/** Does not wait for the lock while a process runs, so that it reaches a container that is being stopped. @throws NotReady when it does not run */
export async function killContainer(engine: ContainersContext, container: Container, signal: number): Promise<void> {
  if (await endsWait(engine, container)) return;
  const process = mustRun(container);
  // Only a signal that ends the container counts as a stop by the user: other signals do not affect the policy.
  if (signal === SIGKILL || signal === container.record.spec.stop.signal) markStopped(engine, container);
  try {
    await process.supervisor.signal(signal);
  } catch (error) {
    // If the process does not exist, it has ended. If it cannot be signalled, it is killed through its cgroup.
    if (signal !== SIGKILL || isEngineError(error, "conflict")) throw error;
    engine.logger.warn("a container is killed by its cgroup", { error: messageOf(error), id: container.id });
    await inStep("kill", () => process.cgroup.kill());
  }
  if (signal === SIGKILL) await thawForEnd(engine, container, process);
  publish(engine, container, "kill", { signal: String(signal) });
  // As in Docker: after SIGKILL the answer waits until the end is known.
  if (signal === SIGKILL && !(await endsWithin(engine, container, process, killPatienceMs)))
    await forceEnd(engine, container, process);
}

/**
 * Without a process there is nothing to signal. If it is being started, this waits for the start; if a restart policy waits for its next try,
 * this ends the wait and returns true. Both need the lock, because a policy may begin its wait, or start the container, at this moment.
 * @throws timeout when the start does not end
 */
async function endsWait(engine: ContainersContext, container: Container): Promise<boolean> {
  if (container.process !== undefined) return false;
  return lockedInTime(engine, container, async () => {
    if (container.state !== "waiting") return false;
    const { state } = container.record;
    await engine.machine.apply(container, "cancel", {
      patch: { stoppedByUser: true, state: { ...state, status: "exited" } },
    });
    return true;
  });
}

/** Waits for a start that is running, so that the caller ends what it makes. @throws timeout */
export async function afterStart(engine: ContainersContext, container: Container): Promise<void> {
  if (container.state === "starting") await lockedInTime(engine, container, () => undefined);
}

/** Runs `task` with the lock. After the patience it does nothing more. @throws timeout */
async function lockedInTime<T>(
  engine: ContainersContext,
  container: Container,
  task: () => Promise<T> | T,
): Promise<T> {
  let isLate = false;
  const late = (): never => {
    isLate = true;
    throw new EngineError(
      "timeout",
      `container ${container.record.name} has been starting for ${startPatienceMs / 1000} s and is not ready: try again later`,
    );
  };
  const work = engine.mutex.run(container.id, () => (isLate ? late() : task()));
  return within(work, startPatienceMs, late, { clock: engine.clock });
}

function markStopped(engine: ContainersContext, container: Container): void {
  // A full disk is no reason to let it run.
  if (!container.record.stoppedByUser) engine.containers.record(container, { stoppedByUser: true });
}

/** Continues when the client hangs up: half a stop would leave a container that was asked to end. @throws not-modified when it does not run */
export async function stopContainer(
  engine: ContainersContext,
  container: Container,
  options: StopOptions,
): Promise<void> {
  if (await endsWait(engine, container)) return;
  if (container.process === undefined) throw new EngineError("not-modified", "");
  await stopProcess(engine, container, options, undefined);
  publish(engine, container, "stop");
}

/** The stop itself. It does not take the lock, because the end for which it waits is handled under the container's lock. */
export async function stopProcess(
  engine: ContainersContext,
  container: Container,
  options: StopOptions,
  abort: AbortSignal | undefined,
  byUser = true,
): Promise<void> {
  const { process } = container;
  if (process === undefined) return;
  if (byUser) markStopped(engine, container);
  const first = options.signal ?? container.record.spec.stop.signal;
  const timeoutSeconds =
    options.timeoutSeconds ?? container.record.spec.stop.timeoutSeconds ?? defaultStopTimeoutSeconds;
  const arrived = await sendSignal(engine, container, first);
  await thawForEnd(engine, container, process);
  // If SIGKILL arrived, there is nothing more to do than to wait.
  const patienceMs = first === SIGKILL ? killPatienceMs : timeoutSeconds < 0 ? undefined : timeoutSeconds * 1000;
  const timeoutMs = first === SIGKILL && !arrived ? 0 : patienceMs;
  if (await endsWithin(engine, container, process, timeoutMs, abort)) return;
  abort?.throwIfAborted();
  if (container.process !== process) return;
  engine.logger.info("container did not end in time and is killed", {
    id: container.id,
    signal: first,
    timeoutSeconds,
  });
  if (first !== SIGKILL) {
    const killed = await sendSignal(engine, container, SIGKILL);
    // It was paused since then.
    await thawForEnd(engine, container, process);
    if (await endsWithin(engine, container, process, killed ? killPatienceMs : 0)) return;
  }
  await forceEnd(engine, container, process);
}

/** The first process does not die (or its supervisor is stopped): kills the whole cgroup. @throws ContainerProblem "does-not-end" */
async function forceEnd(engine: ContainersContext, container: Container, process: RunningProcess): Promise<void> {
  await inStep("kill", () => process.cgroup.kill());
  if (!(await endsWithin(engine, container, process, killPatienceMs)))
    throw new ContainerProblem({ kind: "does-not-end", name: container.record.name });
}

/** False when the signal cannot arrive: the process cannot be reached. */
async function sendSignal(engine: ContainersContext, container: Container, signal: number): Promise<boolean> {
  const { process } = container;
  if (process === undefined) return true;
  try {
    await process.supervisor.signal(signal);
    publish(engine, container, "kill", { signal: String(signal) });
    return true;
  } catch (error) {
    // It ended at this very moment; the wait below notices that.
    if (isEngineError(error, "conflict")) return true;
    engine.logger.warn("a signal did not arrive", { error: messageOf(error), id: container.id });
    return false;
  }
}

/** True when its end was handled in time. `ms` undefined waits for ever. */
async function endsWithin(
  engine: ContainersContext,
  container: Container,
  process: RunningProcess,
  ms: number | undefined,
  abort?: AbortSignal,
): Promise<boolean> {
  const looks = setInterval(() => freeEnd(engine, container, process), endLookMs);
  try {
    return await settlesWithin(process.ended.promise, ms, { clock: engine.clock, signal: abort });
  } finally {
    clearInterval(looks);
  }
}

/** Stops it if it runs or is being started, and starts it, whether the client waits or not. The restart count begins anew. */
export async function restartContainer(
  engine: ContainersContext,
  container: Container,
  options: StopOptions,
): Promise<void> {
  await afterStart(engine, container);
  // --rm must not remove the container between the stop and the start.
  container.restarts++;
  try {
    if (container.process !== undefined) {
      await stopProcess(engine, container, options, undefined);
      publish(engine, container, "stop");
    }
    await locked(engine, container, async () => {
      // Another restart has started it since then.
      if (container.process === undefined) await startContainer(engine, container);
    });
  } finally {
    container.restarts--;
    await letGo(engine, container);
  }
  publish(engine, container, "restart");
}

/** Handles an end that --rm delayed, because the start failed or was not necessary. */
async function letGo(engine: ContainersContext, container: Container): Promise<void> {
  await engine.mutex.run(container.id, async () => {
    if (container.state !== "exited") return;
    const { exitCode, oomKilled } = container.record.state;
    await engine.machine.apply(container, "let-go", { end: { exitCode, oomKilled } });
  });
}
