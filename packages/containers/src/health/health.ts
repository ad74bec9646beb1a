/**
 * Health checks: a command in the container at an interval, its result counted. Starting becomes healthy with the first success; `Retries`
 * failures in a row make it unhealthy; failures in the start period do not count.
 */
import { formatRfc3339Nano, messageOf, randomId } from "@fathom/base";
import type { Health, HealthcheckResult } from "@fathom/spec";
import type { Container } from "../container.ts";
import { publish, type ContainersContext } from "../context.ts";
import type { Exec } from "../exec/exec-table.ts";
import { launchExec } from "../exec/exec.ts";
import { readFrames } from "./frames.ts";
import type { HealthCheck } from "./health-check.ts";
import { SIGKILL } from "../signals.ts";

/** Results kept, and bytes of output of each. */
const keptResults = 5;
const outputLimit = 4096;

/** What a container that starts has of its checks; undefined where it has none. */
export function healthAtStart(check: HealthCheck | undefined): Health | undefined {
  return check === undefined ? undefined : { Status: "starting", FailingStreak: 0, Log: [] };
}

/** Begins the checks of a container that has just started, or was found running. */
export function startHealthMonitor(engine: ContainersContext, container: Container): void {
  const check = container.record.spec.health;
  if (check === undefined) return;
  const abort = new AbortController();
  container.health = { stop: () => abort.abort() };
  void monitor(engine, container, check, abort.signal).catch((error) => {
    if (!abort.signal.aborted) engine.logger.error("health checks ended", { error, id: container.id });
  });
}

async function monitor(
  engine: ContainersContext,
  container: Container,
  check: HealthCheck,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = engine.clock.monotonicMs();
  for (;;) {
    const starting = container.record.health?.Status === "starting";
    const inStartPeriod = (): boolean => engine.clock.monotonicMs() - startedMs < check.startPeriodMs;
    await engine.clock.sleep(starting && inStartPeriod() ? check.startIntervalMs : check.intervalMs, signal);
    if (container.paused) continue;
    const result = await probe(engine, container, check, signal);
    if (signal.aborted) return;
    record(engine, container, check, result, inStartPeriod());
  }
}

async function probe(
  engine: ContainersContext,
  container: Container,
  check: HealthCheck,
  signal: AbortSignal,
): Promise<HealthcheckResult> {
  const { command, timeoutMs } = check;
  const start = formatRfc3339Nano(engine.clock.nowNs());
  const finish = (ExitCode: number, Output: string): HealthcheckResult => ({
    Start: start,
    End: formatRfc3339Nano(engine.clock.nowNs()),
    ExitCode,
    Output,
  });
  const exec: Exec = {
    id: randomId(),
    container,
    request: {
      User: "",
      Privileged: false,
      Tty: false,
      AttachStdin: false,
      AttachStdout: true,
      AttachStderr: true,
      DetachKeys: "",
      Env: null,
      WorkingDir: "",
      Cmd: command,
    },
    command,
    state: "running",
    exitCode: undefined,
    handle: undefined,
    endedMs: 0,
  };
  engine.execs.add(exec);
  publish(engine, container, `exec_create: ${command.join(" ")}`, { execID: exec.id });
  try {
    const handle = await launchExec(
      engine,
      exec,
      [{ stdin: false, stdout: true, stderr: true, closeStdin: true }],
      undefined,
    );
    const output = readFrames(engine.sys, handle.attachments[0]!.fd, outputLimit);
    const timer = new AbortController();
    const timeout = engine.clock.sleep(timeoutMs, AbortSignal.any([timer.signal, signal])).then(
      () => "timeout" as const,
      () => "stopped" as const,
    );
    const first = await Promise.race([handle.exit, timeout]);
    timer.abort();
    if (first === "timeout") {
      await container.process?.supervisor.signal(SIGKILL, exec.id).catch(() => undefined);
      return finish(-1, `Health check exceeded timeout (${timeoutMs / 1000}s)`);
    }
    if (first === "stopped") return finish(-1, "");
    return finish(first.code, await output);
  } catch (error) {
    engine.execs.ended(exec);
    return finish(-1, messageOf(error));
  }
}

function record(
  engine: ContainersContext,
  container: Container,
  check: HealthCheck,
  result: HealthcheckResult,
  inStartPeriod: boolean,
): void {
  const before = container.record.health ?? { Status: "starting", FailingStreak: 0, Log: [] };
  const Log = [...(before.Log ?? []), result].slice(-keptResults);
  let { Status, FailingStreak } = before;
  if (result.ExitCode === 0) {
    Status = "healthy";
    FailingStreak = 0;
  } else if (!(inStartPeriod && Status === "starting")) {
    FailingStreak++;
    if (FailingStreak >= check.retries) Status = "unhealthy";
  }
  // A row that is not written now follows: the checks are no less true for it.
  engine.containers.record(container, { health: { Status, FailingStreak, Log } });
  if (Status !== before.Status) publish(engine, container, `health_status: ${Status}`);
}
