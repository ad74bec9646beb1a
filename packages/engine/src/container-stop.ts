/** Signals to a container and the states that follow: kill, stop, restart. */
import { EngineError, messageOf, isEngineError, startTimer } from "@fathom/base";
import type { Container, RunningProcess } from "./container.ts";
import { cancelRestart, endPolicy, removeItself } from "./container-exit.ts";
import { startContainer } from "./container-start.ts";
import { locked, mustRun, publish, type EngineContext } from "./context.ts";
import { thawForEnd } from "./freeze.ts";
import { freeEnd } from "./silent-ends.ts";
import { parseSignal, SIGKILL, SIGTERM } from "./signals.ts";

/** Docker's default. */
const defaultStopTimeoutSeconds = 10;
/** How long the end is awaited after SIGKILL before the client is told that it does not come. */
const killPatienceMs = 10_000;
/** How often it is looked at what holds up an end that is awaited. */
const endLookMs = 500;

export interface StopOptions {
  readonly signal: string | undefined;
  /** undefined: the container's own; negative: for ever. */
  readonly timeoutSeconds: number | undefined;
}

/** `docker kill`: not serialised, so that it reaches a container that is being stopped. */
export async function killContainer(
  engine: EngineContext,
  nameOrId: string,
  signalName: string | undefined,
): Promise<void> {
  try {
    const container = engine.containers.find(nameOrId);
    await afterPolicyStart(engine, container);
    const signal = signalName === undefined || signalName === "" ? SIGKILL : parseSignal(signalName);
    if (container.process === undefined && container.restartTimer !== undefined) {
      // Between two tries there is nothing to signal: the policy ends.
      endPolicy(engine, container);
      return;
    }
    const process = mustRun(container);
    // Only what ends the container is a stop by the user: other signals leave the policy alone.
    if (signal === SIGKILL || signal === stopSignal(container)) markStopped(engine, container);
    try {
      await process.supervisor.signal(signal);
    } catch (error) {
      // Who is not there has ended; whoever cannot be signalled dies with its cgroup.
      if (signal !== SIGKILL || isEngineError(error, "conflict")) throw error;
      engine.logger.warn("a container is killed by its cgroup", { error: messageOf(error), id: container.id });
      await process.cgroup.kill();
    }
    if (signal === SIGKILL) await thawForEnd(engine, container, process);
    publish(engine, container, "kill", { signal: String(signal) });
    // As in Docker: after SIGKILL the answer waits until the end is known.
    if (signal === SIGKILL) await endsWithin(engine, container, process, killPatienceMs);
  } catch (error) {
    const code = isEngineError(error) ? error.code : "internal";
    throw new EngineError(code, `cannot kill container: ${nameOrId}: ${messageOf(error)}`, { cause: error });
  }
}

/** A policy is starting it at this moment: what comes of that is what there is to end. */
async function afterPolicyStart(engine: EngineContext, container: Container): Promise<void> {
  const { process, restartTimer, record } = container;
  if (process === undefined && restartTimer === undefined && record.state.status === "restarting")
    await engine.mutex.run(container.id, () => undefined);
}

function markStopped(engine: EngineContext, container: Container): void {
  container.stopRequested = true;
  // A full disk is no reason to let it run.
  if (!container.record.stoppedByUser) engine.containers.record(container, { stoppedByUser: true });
}

function stopSignal(container: Container): number {
  const name = container.record.config.StopSignal ?? "";
  try {
    return name === "" ? SIGTERM : parseSignal(name);
  } catch {
    return SIGTERM;
  }
}

/** Goes on when the client hangs up: half a stop would leave a container that was told to end. @throws not-modified when it does not run */
export async function stopContainer(engine: EngineContext, nameOrId: string, options: StopOptions): Promise<void> {
  const container = engine.containers.find(nameOrId);
  checkSignal(options, `cannot stop container: ${nameOrId}`);
  await afterPolicyStart(engine, container);
  if (container.process === undefined && container.restartTimer !== undefined) {
    endPolicy(engine, container);
    return;
  }
  if (container.process === undefined) throw new EngineError("not-modified", "");
  await stopProcess(engine, container, options, undefined);
  publish(engine, container, "stop");
}

function checkSignal({ signal }: StopOptions, action: string): void {
  if (signal === undefined || signal === "") return;
  try {
    parseSignal(signal);
  } catch (error) {
    throw new EngineError("invalid-argument", `${action}: ${messageOf(error)}`, { cause: error });
  }
}

/** The stop itself, not serialised: the end that it waits for is handled under the container's key. */
export async function stopProcess(
  engine: EngineContext,
  container: Container,
  options: StopOptions,
  abort: AbortSignal | undefined,
  byUser = true,
): Promise<void> {
  const { process } = container;
  if (process === undefined) return;
  if (byUser) markStopped(engine, container);
  const first =
    options.signal === undefined || options.signal === "" ? stopSignal(container) : parseSignal(options.signal);
  const timeoutSeconds = options.timeoutSeconds ?? container.record.config.StopTimeout ?? defaultStopTimeoutSeconds;
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
  await process.cgroup.kill();
  if (!(await endsWithin(engine, container, process, killPatienceMs)))
    throw new EngineError(
      "timeout",
      `cannot stop container: ${container.record.name}: tried to kill container, but did not receive an exit event`,
    );
}

/** False when it cannot arrive: there is no way to the process. */
async function sendSignal(engine: EngineContext, container: Container, signal: number): Promise<boolean> {
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
  engine: EngineContext,
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
export async function restartContainer(engine: EngineContext, nameOrId: string, options: StopOptions): Promise<void> {
  const container = engine.containers.find(nameOrId);
  const action = `Cannot restart container ${nameOrId}`;
  checkSignal(options, action);
  // --rm must not take the container away between the two.
  container.restarts++;
  try {
    cancelRestart(engine, container);
    if (container.process !== undefined) {
      await stopProcess(engine, container, options, undefined);
      publish(engine, container, "stop");
    }
    await locked(engine, container, async () => {
      // Another restart has started it since.
      if (container.process === undefined) await startContainer(engine, container, { keepCount: true });
    });
  } catch (error) {
    const code = isEngineError(error) ? error.code : "internal";
    throw new EngineError(code, `${action}: ${messageOf(error)}`, { cause: error });
  } finally {
    container.restarts--;
    await removeWhatWaited(engine, container);
  }
  publish(engine, container, "restart");
}

/** An end that --rm has waited with, for a start that failed or found nothing to do. */
async function removeWhatWaited(engine: EngineContext, container: Container): Promise<void> {
  if (!container.record.hostConfig.AutoRemove || container.process !== undefined) return;
  await engine.mutex.run(container.id, async () => {
    const { process, restartTimer, record } = container;
    if (process !== undefined || restartTimer !== undefined || record.state.status === "restarting") return;
    if (engine.containers.byId(container.id) !== container) return;
    await removeItself(engine, container).catch((error: unknown) =>
      engine.logger.error("removing a container that could not be restarted failed", { error, id: container.id }),
    );
  });
}
