/** Execs as servers use them: makes an `ExecSpec` of Docker's request, and Docker's form of an exec. */
import { EngineError } from "@fathom/base";
import { createExec, mustTakeExecs, resizeExec, startExec, type Exec, type ExecSpec } from "@fathom/containers";
import type { ExecCreateRequest, ExecInspect } from "@fathom/spec";
import type { ExecBackend } from "../backend.ts";
import type { EngineContext } from "../context.ts";
import { parseDetachKeys } from "./detach-keys.ts";

export function createExecBackend(engine: EngineContext): ExecBackend {
  return {
    create: async (nameOrId, body) => {
      const container = engine.containers.find(nameOrId);
      if ((body.Cmd ?? []).length === 0) throw new EngineError("invalid-argument", "No exec command specified");
      // Checked before the rest of the request, as in Docker.
      mustTakeExecs(container);
      const { id } = await createExec(engine, container, execSpecOf(body));
      return { Id: id };
    },
    inspect: async (id) => inspectExec(engine.execs.find(id)),
    start: async (id, options, signal) => {
      signal.throwIfAborted();
      return startExec(engine, engine.execs.find(id), options, signal);
    },
    resize: async (id, rows, columns) => resizeExec(engine.execs.find(id), rows, columns),
  };
}

/** @throws invalid-argument in Docker's words */
function execSpecOf(body: ExecCreateRequest): ExecSpec {
  const detachKeys = parseDetachKeys(body.DetachKeys, "escape");
  const environment = body.Env ?? [];
  for (const entry of environment)
    if (entry === "" || entry.startsWith("="))
      throw new EngineError("invalid-argument", `invalid environment variable: ${entry}`);
  return {
    command: body.Cmd ?? [],
    environment,
    user: body.User,
    workingDirectory: body.WorkingDir,
    terminal: body.Tty,
    consoleSize: body.ConsoleSize ?? undefined,
    stdin: body.AttachStdin,
    stdout: body.AttachStdout,
    stderr: body.AttachStderr,
    privileged: body.Privileged,
    detachKeys,
  };
}

function inspectExec({ id, container, spec, state, exitCode, handle }: Exec): ExecInspect {
  const [entrypoint = "", ...args] = spec.command;
  return {
    ID: id,
    Running: state === "running",
    ExitCode: exitCode ?? null,
    ProcessConfig: {
      tty: spec.terminal,
      entrypoint,
      arguments: args,
      privileged: spec.privileged,
      ...(spec.user === "" ? {} : { user: spec.user }),
    },
    OpenStdin: spec.stdin,
    OpenStderr: spec.stderr,
    OpenStdout: spec.stdout,
    CanRemove: false,
    ContainerID: container.id,
    // Docker shows the bytes of the keys in the way in which Go writes bytes in JSON.
    DetachKeys: spec.detachKeys === undefined ? "" : Buffer.from(spec.detachKeys).toString("base64"),
    Pid: handle?.pid ?? 0,
  };
}
