/** Execs of the fake: programs of FakeProcess in addition to a container's own. */
import { EngineError, randomId } from "@fathom/base";
import type { ExecBackend, ExecStartOptions, StreamAttachment } from "@fathom/engine";
import type { ExecCreateRequest, ExecInspect } from "@fathom/spec";
import { parseDetachKeysForTests } from "./detach-keys.ts";
import type { FakeContainer } from "./fake-container.ts";
import type { FakeContainers } from "./fake-containers.ts";
import { FakeProcess } from "./fake-process.ts";

interface FakeExec {
  readonly container: FakeContainer;
  readonly body: ExecCreateRequest;
  process: FakeProcess | undefined;
  exitCode: number | null;
}

export class FakeExecs implements ExecBackend {
  readonly #execs = new Map<string, FakeExec>();
  readonly #containers: FakeContainers;
  /** Every start waits for it after it was accepted. */
  launching: Promise<void> | undefined;

  constructor(containers: FakeContainers) {
    this.#containers = containers;
  }

  #find(id: string): FakeExec {
    const exec = this.#execs.get(id);
    if (exec === undefined) throw new EngineError("not-found", `No such exec instance: ${id}`);
    return exec;
  }

  async create(name: string, body: ExecCreateRequest): Promise<{ Id: string }> {
    const container = this.#containers.find(name);
    container.mustGoOn("exec");
    container.mustRun();
    const Id = randomId();
    this.#execs.set(Id, { container, body, process: undefined, exitCode: null });
    return { Id };
  }

  async inspect(id: string): Promise<ExecInspect> {
    const { container, body, process, exitCode } = this.#find(id);
    return {
      ID: id,
      Running: process?.running === true,
      ExitCode: exitCode,
      ProcessConfig: { tty: body.Tty, entrypoint: body.Cmd?.[0] ?? "", arguments: [] },
      OpenStdin: body.AttachStdin,
      OpenStderr: body.AttachStderr,
      OpenStdout: body.AttachStdout,
      CanRemove: false,
      ContainerID: container.id,
      DetachKeys: "",
      Pid: 0,
    };
  }

  async start(
    id: string,
    { detach, accepted }: ExecStartOptions,
    signal: AbortSignal,
  ): Promise<StreamAttachment | undefined> {
    signal.throwIfAborted();
    const exec = this.#find(id);
    if (exec.process !== undefined) throw new EngineError("conflict", `exec command ${id} has already run`);
    const { body } = exec;
    const process = new FakeProcess(body.Tty);
    exec.process = process;
    accepted?.();
    await this.launching;
    const command = body.Cmd ?? [];
    const attachment: StreamAttachment | undefined = detach
      ? undefined
      : {
          fd: process.attach(body.AttachStdin, command[0] === "cat", true),
          tty: body.Tty,
          detachKeys: parseDetachKeysForTests(body.DetachKeys),
          detached: () => undefined,
        };
    void process.exit.then((code) => (exec.exitCode = code));
    process.run(command);
    return attachment;
  }

  async resize(id: string): Promise<void> {
    this.#find(id);
  }
}
