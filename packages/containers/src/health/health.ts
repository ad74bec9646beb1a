/**
 * Health checks: a command in the container runs at an interval, and its results are counted. The first success changes "starting" to
 * "healthy"; `Retries` failures in a row make the container unhealthy; failures in the start period do not count.
 */
import { formatRfc3339Nano, messageOf, settlesWithin, within } from "@fathom/base";
import type { Container } from "../container.ts";
import { publish, type ContainersContext } from "../context.ts";
import { plainExec } from "../exec/exec-spec.ts";
import { newExec } from "../exec/exec-table.ts";
import { addExec, launchExec } from "../exec/exec.ts";
import { readFrames } from "./frames.ts";
import type { Health, HealthCheck, HealthResult } from "./health-check.ts";
import { SIGKILL } from "../signals.ts";

/** How many results are kept, and how many bytes of output of each. */
const keptResults = 5;
const outputLimit = 4096;
/** How long the end of a command that was killed, and then the end of its output, may take: a process that it began may keep its streams open. */
const endPatienceMs = 1000;

/** The health of a container that starts, or that a daemon takes up: it begins anew and keeps earlier results. undefined without checks. */
export function healthAtStart(check: HealthCheck | undefined, before: Health | undefined): Health | undefined {
  return check === undefined ? undefined : { status: "starting", failingStreak: 0, results: before?.results ?? [] };
}

/** Begins the checks of a container that has just started, or that was found running. */
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
    const starting = container.record.health?.status === "starting";
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
): Promise<HealthResult> {
  const { command, timeoutMs } = check;
  const startedAt = formatRfc3339Nano(engine.clock.nowNs());
  const finish = (exitCode: number, output: string): HealthResult => ({
    startedAt,
    endedAt: formatRfc3339Nano(engine.clock.nowNs()),
    exitCode,
    output,
  });
  const exec = newExec(container, plainExec(command), "running");
  addExec(engine, exec);
  try {
    const handle = await launchExec(
      engine,
      exec,
      [{ stdin: false, stdout: true, stderr: true, closeStdin: true }],
      undefined,
    );
    const output = readFrames(handle.attachments[0]!.fd, outputLimit);
    const first = await within(handle.exit, timeoutMs, () => (signal.aborted ? "stopped" : "timeout"), {
      clock: engine.clock,
      signal,
    });
    if (first === "timeout") {
      await container.process?.supervisor.signal(SIGKILL, exec.id).catch(() => undefined);
      await settlesWithin(handle.exit, endPatienceMs, { clock: engine.clock, signal });
    }
    if (first !== "stopped") await settlesWithin(output.ended, endPatienceMs, { clock: engine.clock, signal });
    output.stop();
    const text = output.text();
    if (first === "stopped") return finish(-1, "");
    if (first !== "timeout") return finish(first.code, text);
    const exceeded = `Health check exceeded timeout (${goDuration(timeoutMs)})`;
    return finish(-1, text === "" ? exceeded : `${exceeded}: ${text}`);
  } catch (error) {
    engine.execs.ended(exec);
    return finish(-1, messageOf(error));
  }
}

/** As Go writes a duration: "500ms", "1.5s", "1m30s", "1h0m0s". */
function goDuration(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = `${(ms % 60_000) / 1000}s`;
  if (minutes === 0) return seconds;
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}

function record(
  engine: ContainersContext,
  container: Container,
  check: HealthCheck,
  result: HealthResult,
  inStartPeriod: boolean,
): void {
  const before = container.record.health ?? { status: "starting", failingStreak: 0, results: [] };
  const results = [...before.results, result].slice(-keptResults);
  let { status, failingStreak } = before;
  if (result.exitCode === 0) {
    status = "healthy";
    failingStreak = 0;
  } else if (!(inStartPeriod && status === "starting")) {
    failingStreak++;
    if (failingStreak >= check.retries) status = "unhealthy";
  }
  // The row is written later; the result is true anyway.
  engine.containers.record(container, { health: { status, failingStreak, results } });
  if (status !== before.status) publish(engine, container, `health_status: ${status}`);
}
