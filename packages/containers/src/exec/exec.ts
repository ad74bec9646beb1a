/** docker exec: create, start, inspect, resize. */
import { EngineError, isEngineError, randomId } from "@fathom/base";
import { isStillRunning, LaunchFailure, type AttachOptions, type ExecHandle } from "@fathom/runtime";
import type { ExecCreateRequest, ExecInspect } from "@fathom/spec";
import type { Container, RunningProcess } from "../container.ts";
import { effectiveDetachKeys, parseDetachKeys } from "../streams/detach-keys.ts";
import { publish, type ContainersContext } from "../context.ts";
import type { Exec } from "./exec-table.ts";
import { cannedOutput } from "./canned-output.ts";
import { compileExecProcess } from "../steps/plan.ts";

const endPatienceMs = 100;

export interface StreamAttachment {
  readonly fd: number;
  readonly tty: boolean;
  readonly detachKeys: Uint8Array;
  detached(): void;
}

/** @throws conflict when the container does not run or is paused */
function mustTakeExecs(container: Container): NonNullable<Container["process"]> {
  if (container.paused || container.process?.freezing === true)
    throw new EngineError(
      "conflict",
      `Container ${container.record.name} is paused, unpause the container before exec`,
    );
  if (container.record.state.status === "restarting")
    throw new EngineError("conflict", `Container ${container.id} is restarting, wait until the container is running`);
  if (container.process === undefined) throw new EngineError("conflict", `container ${container.id} is not running`);
  return container.process;
}

export async function createExec(
  engine: ContainersContext,
  nameOrId: string,
  request: ExecCreateRequest,
): Promise<{ Id: string }> {
  const container = engine.containers.find(nameOrId);
  const command = request.Cmd ?? [];
  if (command.length === 0) throw new EngineError("invalid-argument", "No exec command specified");
  const process = mustTakeExecs(container);
  if (request.DetachKeys) parseDetachKeys(request.DetachKeys, "escape");
  for (const entry of request.Env ?? [])
    if (entry === "" || entry.startsWith("="))
      throw new EngineError("invalid-argument", `invalid environment variable: ${entry}`);
  // An unknown user is the request's fault: the client gets it here, before anything listens to a stream.
  if (request.User !== "")
    try {
      await compileExecProcess(engine, container, process, request, command, undefined);
    } catch (reason) {
      throw await endedMeanwhile(engine, process, reason, container);
    }
  const id = randomId();
  engine.execs.add({
    id,
    container,
    request,
    command,
    state: "created",
    exitCode: undefined,
    handle: undefined,
    endedMs: 0,
  });
  publishExec(engine, container, "exec_create", command, id);
  return { Id: id };
}

function publishExec(
  engine: ContainersContext,
  container: Container,
  action: string,
  command: readonly string[],
  id: string,
): void {
  publish(engine, container, `${action}: ${command.join(" ")}`, { execID: id });
}

export interface ExecStartOptions {
  readonly detach: boolean;
  readonly tty: boolean;
  /** Rows and columns. */
  readonly consoleSize: readonly [number, number] | undefined;
  readonly stdin: boolean;
}

/**
 * Starts it. Why it could not be started comes through the stream and the exit code, as in Docker, when somebody listens: by
 * then clients expect nothing but a stream. A client that hangs up before it has the stream gets none: the process runs on without.
 * @throws the signal's reason when it was aborted before; the exec can then still be started
 */
export async function startExec(
  engine: ContainersContext,
  id: string,
  options: ExecStartOptions,
  signal: AbortSignal,
): Promise<StreamAttachment | undefined> {
  signal.throwIfAborted();
  const exec = engine.execs.find(id);
  if (exec.state === "ended") throw new EngineError("conflict", `exec command ${exec.id} has already run`);
  if (exec.state === "running") throw new EngineError("conflict", `exec command ${exec.id} is already running`);
  const { container, request } = exec;
  const process = mustTakeExecs(container);
  const tty = request.Tty === true;
  const detachKeys = effectiveDetachKeys(request.DetachKeys ?? "", "escape", tty);
  const attach: AttachOptions[] = options.detach
    ? []
    : [
        {
          stdin: request.AttachStdin === true,
          stdout: request.AttachStdout === true || tty,
          stderr: request.AttachStderr === true && !tty,
          closeStdin: true,
        },
      ];
  exec.state = "running";
  let handle: ExecHandle;
  try {
    handle = await launchExec(engine, exec, attach, options.consoleSize ?? consoleSize(request));
  } catch (reason) {
    const failure = LaunchFailure.of("launch", await endedMeanwhile(engine, process, reason, container));
    const text = engine.words.execWords(failure);
    endExec(engine, exec, engine.words.exitCodeOfExec(failure));
    if (options.detach) throw new EngineError(failure.code, text, { cause: failure });
    return { fd: cannedOutput(engine.sys, `${text}\r\n`, tty), tty, detachKeys, detached() {} };
  }
  const attachment = handle.attachments[0];
  if (attachment === undefined) return undefined;
  if (signal.aborted) {
    // It runs on, as one whose client hangs up later.
    engine.sys.close(attachment.fd);
    return undefined;
  }
  return {
    fd: attachment.fd,
    tty,
    detachKeys,
    detached: () => publish(engine, container, "exec_detach", { execID: exec.id }),
  };
}

/** Why an exec failed: in a container that is ending every step can, and what counts is that it ended. The end may be known a moment later. */
async function endedMeanwhile(
  engine: ContainersContext,
  process: RunningProcess,
  reason: unknown,
  container: Container,
): Promise<unknown> {
  if (isEngineError(reason) && reason.code !== "internal" && reason.code !== "unavailable") return reason;
  // Without its cause, a call that failed because the container had ended: what failed would be told by that call.
  const notRunning = new EngineError("conflict", `container ${container.id} is not running`);
  const { identity } = process.supervisor;
  // Its supervisor, or one that it shares a pid namespace with, may tell of the end much later.
  if (identity !== undefined && !isStillRunning(identity)) return notRunning;
  const patience = new AbortController();
  const ended = await Promise.race([
    process.supervisor.exit.then(() => true),
    engine.clock.sleep(endPatienceMs, patience.signal).then(
      () => false,
      () => false,
    ),
  ]);
  patience.abort();
  return ended ? notRunning : reason;
}

function consoleSize(request: ExecCreateRequest): readonly [number, number] | undefined {
  const size = request.ConsoleSize;
  return size !== undefined && size !== null && size.length === 2 ? [size[0] ?? 0, size[1] ?? 0] : undefined;
}

/** Starts the process of an exec that is marked as running, and follows it to its end. Also used by health checks. */
export async function launchExec(
  engine: ContainersContext,
  exec: Exec,
  attach: readonly AttachOptions[],
  size: readonly [number, number] | undefined,
): Promise<ExecHandle> {
  const { container, request } = exec;
  const process = mustTakeExecs(container);
  const plan = await compileExecProcess(engine, container, process, request, exec.command, size);
  // It may have ended meanwhile, or run anew.
  if (mustTakeExecs(container) !== process)
    throw new EngineError("conflict", `container ${container.id} is not running`);
  publishExec(engine, container, "exec_start", exec.command, exec.id);
  const launching = process.supervisor.exec({
    execId: exec.id,
    plan,
    openStdin: request.AttachStdin === true,
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

export function inspectExec(engine: ContainersContext, id: string): ExecInspect {
  const exec = engine.execs.find(id);
  const { request } = exec;
  return {
    ID: exec.id,
    Running: exec.state === "running",
    ExitCode: exec.exitCode ?? null,
    ProcessConfig: {
      tty: request.Tty === true,
      entrypoint: exec.command[0] ?? "",
      arguments: exec.command.slice(1),
      privileged: request.Privileged === true,
      ...(request.User ? { user: request.User } : {}),
    },
    OpenStdin: request.AttachStdin === true,
    OpenStderr: request.AttachStderr === true,
    OpenStdout: request.AttachStdout === true,
    CanRemove: false,
    ContainerID: exec.container.id,
    // Docker shows the bytes of the keys, as Go writes bytes in JSON.
    DetachKeys: request.DetachKeys ? Buffer.from(parseDetachKeys(request.DetachKeys, "escape")).toString("base64") : "",
    Pid: exec.handle?.pid ?? 0,
  };
}

export async function resizeExec(engine: ContainersContext, id: string, rows: number, columns: number): Promise<void> {
  const exec = engine.execs.find(id);
  const { process } = exec.container;
  if (exec.state !== "running" || process === undefined) throw new EngineError("conflict", `exec ${id} is not running`);
  if (exec.request.Tty) await process.supervisor.resize(rows, columns, exec.id);
}
