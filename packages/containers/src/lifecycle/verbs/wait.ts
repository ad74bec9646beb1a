/** Waiting for a container's end. The registration is done when the call returns, so that no end is missed. */
import { EngineError, messageOf } from "@fathom/base";
import type { Container } from "../../container.ts";
import type { ContainersContext } from "../../context.ts";

/** What a client waits for: that the container does not run, its next end, or its removal. */
export type WaitCondition = "not-running" | "next-exit" | "removed";

export interface WaitResult {
  /** Exit code of the run that ended last. */
  readonly exitCode: number;
  /** Why the removal failed for which the client waits. */
  readonly error?: string;
}

export function waitContainer(
  engine: ContainersContext,
  nameOrId: string,
  condition: WaitCondition,
  signal: AbortSignal,
): { readonly result: Promise<WaitResult> } {
  let container: Container;
  try {
    container = engine.containers.find(nameOrId);
  } catch (error) {
    // After `docker run -d --rm`, `docker wait` may come when a short run has already removed itself. Its code is still the answer.
    const code =
      condition === "next-exit" ? undefined : engine.containers.departed.exitCode(nameOrId, engine.clock.monotonicMs());
    if (code === undefined) throw error;
    return { result: Promise.resolve({ exitCode: code }) };
  }
  switch (condition) {
    case "not-running":
      if (!isActive(container)) return { result: Promise.resolve({ exitCode: container.record.state.exitCode }) };
      return { result: nextExit(container, signal) };
    case "next-exit":
      return { result: nextExit(container, signal) };
    case "removed":
      return { result: removal(container, signal) };
  }
}

/** Running, or soon again: `docker wait` of a restarting container waits for its next end. */
function isActive(container: Container): boolean {
  return container.process !== undefined || container.record.state.status === "restarting";
}

function nextExit(container: Container, signal: AbortSignal): Promise<WaitResult> {
  return new Promise((resolve, reject) => {
    const done = (code: number): void => {
      container.exitWaiters.delete(done);
      signal.removeEventListener("abort", abort);
      resolve({ exitCode: code });
    };
    const abort = (): void => {
      container.exitWaiters.delete(done);
      reject(new EngineError("aborted", "the client went away"));
    };
    container.exitWaiters.add(done);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

function removal(container: Container, signal: AbortSignal): Promise<WaitResult> {
  return new Promise((resolve, reject) => {
    const done = (result: { code: number } | { error: Error }): void => {
      container.removeWaiters.delete(done);
      signal.removeEventListener("abort", abort);
      if ("code" in result) resolve({ exitCode: result.code });
      else resolve({ exitCode: container.record.state.exitCode, error: result.error.message });
    };
    const abort = (): void => {
      container.removeWaiters.delete(done);
      reject(new EngineError("aborted", "the client went away"));
    };
    container.removeWaiters.add(done);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

export function wakeExitWaiters(container: Container, code: number): void {
  for (const wake of container.exitWaiters) wake(code);
}

/**
 * A removal ends every wait: "removed" and "next-exit" get the last exit code, attaches get nothing. A failed removal ends only the waits for
 * it, with the reason.
 */
export function wakeRemoveWaiters(container: Container, failure?: unknown): void {
  const code = container.record.state.exitCode;
  if (failure !== undefined) {
    const error = failure instanceof Error ? failure : new Error(messageOf(failure));
    for (const wake of container.removeWaiters) wake({ error });
    return;
  }
  for (const wake of container.removeWaiters) wake({ code });
  wakeExitWaiters(container, code);
  for (const pending of container.pendingAttach) pending.started.resolve(undefined);
  container.pendingAttach.clear();
  container.removed.resolve();
}
