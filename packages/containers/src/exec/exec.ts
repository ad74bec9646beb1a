/** Additional processes in a running container: create, start, resize. */
import { EngineError, isEngineError, settlesWithin } from "@fathom/base";
import { isStillRunning, LaunchFailure, type AttachOptions, type ExecHandle } from "@fathom/runtime";
import type { Container, RunningProcess } from "../container.ts";
import { streamFor, type StreamAttachment } from "../streams/attachment.ts";
import { detachKeysOf } from "../streams/detach-keys.ts";
import { publish, type ContainersContext } from "../context.ts";
import { NotReady } from "../lifecycle/not-ready.ts";
import { ContainerProblem } from "../problem.ts";
import type { ExecSpec } from "./exec-spec.ts";
import { newExec, type Exec } from "./exec-table.ts";
import { cannedOutput } from "./canned-output.ts";
import { compileExecProcess } from "../steps/plan.ts";

const endPatienceMs = 100;

/** @throws NotReady */
export function mustTakeExecs(container: Container): RunningProcess {
  if (container.paused || container.process?.freezing === true) throw new NotReady(container, "exec", "paused");
  if (container.record.state.status === "restarting") throw new NotReady(container, "exec", "restarting");
  if (container.process === undefined) throw new NotReady(container, "exec", "not-running");
  return container.process;
}

/**
 * Makes an exec that can be started.
 * @throws NotReady; unavailable when too many execs wait for their start; errors of the look-up of the user
 */
export async function createExec(engine: ContainersContext, container: Container, spec: ExecSpec): Promise<Exec> {
  const process = mustTakeExecs(container);
  // An unknown user is an error of the request. The client gets it here, before it listens to a stream.
  if (spec.user !== "")
    try {
      await compileExecProcess(engine, container, process, spec, undefined);
    } catch (reason) {
      throw await endedMeanwhile(engine, process, reason, container);
    }
  const exec = newExec(container, spec, "created");
  addExec(engine, exec);
  return exec;
}

/** @throws unavailable */
export function addExec(engine: ContainersContext, exec: Exec): void {
  engine.execs.add(exec);
  publishExec(engine, exec, "exec_create");
}

function publishExec(engine: ContainersContext, { container, spec, id }: Exec, action: string): void {
  publish(engine, container, `${action}: ${spec.command.join(" ")}`, { execID: id });
}

export interface ExecStartOptions {
  /** No client is connected to it. */
  readonly detach: boolean;
  /** Rows and columns that replace those of the spec. */
  readonly consoleSize: readonly [number, number] | undefined;
  /** Called when nothing of the request can be rejected any more, before the process starts: a client that listens gets its answer then. */
  readonly accepted?: () => void;
}

/**
 * Starts it. As in Docker, when a client listens, the reason of a failed start comes through the stream and the exit code, because by then the
 * client only expects a stream. When the client hangs up before it has the stream, it gets none, and the process keeps running without it.
 * @throws the signal's reason when the signal aborted before; the exec can then still be started
 */
export async function startExec(
  engine: ContainersContext,
  exec: Exec,
  options: ExecStartOptions,
  signal: AbortSignal,
): Promise<StreamAttachment | undefined> {
  signal.throwIfAborted();
  if (exec.state === "ended") throw new ContainerProblem({ kind: "exec-ended", id: exec.id });
  if (exec.state === "running") throw new ContainerProblem({ kind: "exec-running", id: exec.id });
  const { container, spec } = exec;
  const process = mustTakeExecs(container);
  const tty = spec.terminal;
  const detachKeys = detachKeysOf(tty, spec.detachKeys);
  const attach: AttachOptions[] = options.detach
    ? []
    : [
        {
          stdin: spec.stdin,
          stdout: spec.stdout || tty,
          stderr: spec.stderr && !tty,
          closeStdin: true,
        },
      ];
  exec.state = "running";
  options.accepted?.();
  let handle: ExecHandle;
  try {
    handle = await launchExec(engine, exec, attach, options.consoleSize ?? spec.consoleSize);
  } catch (reason) {
    const failure = LaunchFailure.of("launch", await endedMeanwhile(engine, process, reason, container));
    const text = engine.words.execWords(failure);
    endExec(engine, exec, engine.words.exitCodeOfExec(failure));
    if (options.detach) throw new EngineError(failure.code, text, { cause: failure });
    return { fd: cannedOutput(engine.sys, `${text}\r\n`, tty), tty, detachKeys, detached() {} };
  }
  // Without a client, the exec keeps running, as when a client hangs up later.
  return streamFor(engine.sys, handle.attachments[0], signal, {
    tty,
    detachKeys,
    detached: () => publish(engine, container, "exec_detach", { execID: exec.id }),
  });
}

/**
 * The reason why an exec failed. In a container that is ending every step can fail, and then the reason is that the container ended. The end
 * may be known a moment later.
 */
async function endedMeanwhile(
  engine: ContainersContext,
  process: RunningProcess,
  reason: unknown,
  container: Container,
): Promise<unknown> {
  if (isEngineError(reason) && reason.code !== "internal" && reason.code !== "unavailable") return reason;
  // Without a cause: the failed call only says that the container has ended.
  const notRunning = new NotReady(container, "exec", "not-running");
  const { identity } = process.supervisor;
  // Its supervisor, or the supervisor of a container with the same pid namespace, may report the end much later.
  if (identity !== undefined && !isStillRunning(identity)) return notRunning;
  const ended = await settlesWithin(process.supervisor.exit, endPatienceMs, { clock: engine.clock });
  return ended ? notRunning : reason;
}

/** Starts the process of an exec that is marked as running, and follows it to its end. Health checks also use it. */
export async function launchExec(
  engine: ContainersContext,
  exec: Exec,
  attach: readonly AttachOptions[],
  size: readonly [number, number] | undefined,
): Promise<ExecHandle> {
  const { container, spec } = exec;
  const process = mustTakeExecs(container);
  const plan = await compileExecProcess(engine, container, process, spec, size);
  // The container may have ended meanwhile, or may be in a new run.
  if (mustTakeExecs(container) !== process) throw new NotReady(container, "exec", "not-running");
  publishExec(engine, exec, "exec_start");
  const launching = process.supervisor.exec({
    execId: exec.id,
    plan,
    openStdin: spec.stdin,
    attach,
  });
  process.launchingExecs.add(launching);
  let handle: ExecHandle;
  try {
    handle = await launching;
  } finally {
    process.launchingExecs.delete(launching);
  }
  exec.handle = handle;
  void handle.exit.then((exit) => {
    if (exec.state !== "running") return;
    endExec(engine, exec, exit.code);
    publish(engine, container, "exec_die", { execID: exec.id, exitCode: String(exit.code) });
  });
  return handle;
}

function endExec(engine: ContainersContext, exec: Exec, exitCode: number): void {
  exec.exitCode = exitCode;
  engine.execs.ended(exec);
}

/** @throws ContainerProblem when the exec does not run */
export async function resizeExec(exec: Exec, rows: number, columns: number): Promise<void> {
  const { process } = exec.container;
  if (exec.state !== "running" || process === undefined)
    throw new ContainerProblem({ kind: "exec-not-running", id: exec.id });
  if (exec.spec.terminal) await process.supervisor.resize(rows, columns, exec.id);
}
