/** Signals to a container and the states that follow: kill, stop, restart. */
import { EngineError, isEngineError, messageOf, startTimer } from "@fathom/base";
import type { Container, RunningProcess } from "../container.ts";
import { startContainer } from "./start.ts";
import { locked, mustRun, publish, type ContainersContext } from "../context.ts";
import { thawForEnd } from "./pause.ts";
import { freeEnd } from "./silent-ends.ts";
import { inStep } from "./step-failure.ts";
import { SIGKILL } from "../signals.ts";

/** Docker's default. */
const defaultStopTimeoutSeconds = 10;
/** How long the end is awaited after SIGKILL before the client gets an error. */
const killPatienceMs = 10_000;
/** How often it is looked at what holds up an end that is awaited. */
const endLookMs = 500;

export interface StopOptions {
  /** undefined: the container's own. */
  readonly signal: number | undefined;
  /** undefined: the container's own; negative: for ever. */
  readonly timeoutSeconds: number | undefined;
}

/** Not serialised, so that it reaches a container that is being stopped. @throws conflict when it does not run */
export async function killContainer(engine: ContainersContext, container: Container, signal: number): Promise<void> {
  await afterStart(engine, container);
  if (await endsWait(engine, container)) return;
  const process = mustRun(container);
  // Only what ends the container is a stop by the user: other signals leave the policy alone.
  if (signal === SIGKILL || signal === container.record.spec.stop.signal) markStopped(engine, container);
  try {
    await process.supervisor.signal(signal);
  } catch (error) {
    // Who is not there has ended; whoever cannot be signalled dies with its cgroup.
    if (signal !== SIGKILL || isEngineError(error, "conflict")) throw error;
    engine.logger.warn("a container is killed by its cgroup", { error: messageOf(error), id: container.id });
    await inStep("kill", () => process.cgroup.kill());
  }
  if (signal === SIGKILL) await thawForEnd(engine, container, process);
  publish(engine, container, "kill", { signal: String(signal) });
  // As in Docker: after SIGKILL the answer waits until the end is known.
  if (signal === SIGKILL) await endsWithin(engine, container, process, killPatienceMs);
}

/** It is being started at this moment: what comes of that is what there is to end. */
async function afterStart(engine: ContainersContext, container: Container): Promise<void> {
  if (container.state === "starting") await engine.mutex.run(container.id, () => undefined);
}

/** Between two tries of a restart policy there is nothing to signal: the policy ends. */
async function endsWait(engine: ContainersContext, container: Container): Promise<boolean> {
  if (container.state !== "waiting") return false;
  const { state } = container.record;
  await engine.machine.apply(container, "cancel", {
    patch: { stoppedByUser: true, state: { ...state, status: "exited" } },
  });
  return true;
}

function markStopped(engine: ContainersContext, container: Container): void {
  container.stopRequested = true;
  // A full disk is no reason to let it run.
  if (!container.record.stoppedByUser) engine.containers.record(container, { stoppedByUser: true });
}

/** Goes on when the client hangs up: half a stop would leave a container that was told to end. @throws not-modified when it does not run */
export async function stopContainer(
  engine: ContainersContext,
  container: Container,
  options: StopOptions,
): Promise<void> {
  await afterStart(engine, container);
  if (await endsWait(engine, container)) return;
  if (container.process === undefined) throw new EngineError("not-modified", "");
  await stopProcess(engine, container, options, undefined);
  publish(engine, container, "stop");
}

/** The stop itself, not serialised: the end that it waits for is handled under the container's key. */
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
  // Nothing comes after SIGKILL but to wait, where it arrived.
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
    // Paused since.
    await thawForEnd(engine, container, process);
    if (await endsWithin(engine, container, process, killed ? killPatienceMs : 0)) return;
  }
  // The first process does not die (or its supervisor is stuck): the cgroup is stronger.
  await inStep("kill", () => process.cgroup.kill());
  if (!(await endsWithin(engine, container, process, killPatienceMs)))
    throw new EngineError(
      "timeout",
      `cannot stop container: ${container.record.name}: tried to kill container, but did not receive an exit event`,
    );
}

/** False when it cannot arrive: there is no way to the process. */
async function sendSignal(engine: ContainersContext, container: Container, signal: number): Promise<boolean> {
  const { process } = container;
  if (process === undefined) return true;
  try {
    await process.supervisor.signal(signal);
    publish(engine, container, "kill", { signal: String(signal) });
    return true;
  } catch (error) {
    // It ended at this very moment; the wait that follows sees that.
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
    return await within(process.ended.promise, ms, abort);
  } finally {
    clearInterval(looks);
  }
}

/** True when `promise` settled in time. `ms` undefined waits for ever. */
async function within(promise: Promise<unknown>, ms: number | undefined, abort?: AbortSignal): Promise<boolean> {
  let stopTimer: (() => void) | undefined;
  let stop: (() => void) | undefined;
  try {
    return await Promise.race([
      promise.then(
        () => true,
        () => true,
      ),
      new Promise<false>((resolve) => {
        stop = () => resolve(false);
        if (ms !== undefined) stopTimer = startTimer(stop, ms);
        if (abort?.aborted) stop();
        abort?.addEventListener("abort", stop, { once: true });
      }),
    ]);
  } finally {
    stopTimer?.();
    if (stop !== undefined) abort?.removeEventListener("abort", stop);
  }
}

/** Stops it when it runs and starts it, whether the client waits for it or not; the restart count is untouched. */
export async function restartContainer(
  engine: ContainersContext,
  container: Container,
  options: StopOptions,
): Promise<void> {
  // --rm must not take the container away between the two.
  container.restarts++;
  try {
    if (container.process !== undefined) {
      await stopProcess(engine, container, options, undefined);
      publish(engine, container, "stop");
    }
    await locked(engine, container, async () => {
      // Another restart has started it since.
      if (container.process === undefined) await startContainer(engine, container, { keepCount: true });
    });
  } finally {
    container.restarts--;
    await letGo(engine, container);
  }
  publish(engine, container, "restart");
}

/** An end that --rm has waited with, for a start that failed or found nothing to do. */
async function letGo(engine: ContainersContext, container: Container): Promise<void> {
  await engine.mutex.run(container.id, async () => {
    if (container.state !== "exited") return;
    const { exitCode, oomKilled } = container.record.state;
    await engine.machine.apply(container, "let-go", { end: { exitCode, oomKilled } });
  });
}
