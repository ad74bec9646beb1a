/**
 * A Backend without containers: states, streams and errors like the engine's, and a few built-in programs (FakeProcess). For tests of
 * the server and of clients; nothing here is shipped.
 */
import { EngineError, deferred, randomId, zeroTime, type Deferred } from "@fathom/base";
import type {
  ContainerCreateRequest,
  ContainerInspect,
  ContainerSummary,
  ContainerWaitResponse,
  EventMessage,
  ExecCreateRequest,
  ProgressMessage,
} from "@fathom/spec";
import type {
  AttachRequest,
  AttachResult,
  Backend,
  LogsRequest,
  StreamAttachment,
  WaitCondition,
} from "@fathom/engine";
import { parseDetachKeysForTests } from "./detach-keys.ts";
import { fakeInfo, fakeVersion } from "./fake-system.ts";
import { FakeProcess } from "./fake-process.ts";

interface FakeContainer {
  readonly id: string;
  name: string;
  readonly body: ContainerCreateRequest;
  process: FakeProcess | undefined;
  exitCode: number;
  readonly exits: Deferred<number>[];
  readonly removals: Deferred<number>[];
  readonly pending: { request: AttachRequest; stream: Deferred<StreamAttachment | undefined> }[];
}

interface FakeExec {
  readonly id: string;
  readonly container: FakeContainer;
  readonly body: ExecCreateRequest;
  process: FakeProcess | undefined;
  exitCode: number | null;
}

export class FakeBackend {
  readonly containers = new Map<string, FakeContainer>();
  readonly execs = new Map<string, FakeExec>();
  readonly events: EventMessage[] = [];
  /** Calls with their arguments, for assertions. */
  readonly calls: { readonly name: string; readonly args: readonly unknown[] }[] = [];
  /** Bytes that uploads brought. */
  uploaded = 0;
  /** Awaited between two pieces of an upload. */
  uploadPace: () => Promise<void> = async () => undefined;

  find(name: string): FakeContainer {
    for (const container of this.containers.values())
      if (container.name === name || (name.length > 0 && container.id.startsWith(name))) return container;
    throw new EngineError("not-found", `No such container: ${name}`);
  }

  version = fakeVersion;
  info = fakeInfo;

  async *eventStream(signal: AbortSignal): AsyncGenerator<EventMessage> {
    yield* this.events;
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  containerList(): ContainerSummary[] {
    return [...this.containers.values()].map((container) => ({
      Id: container.id,
      Names: [`/${container.name}`],
      Image: container.body.Image,
      ImageID: `sha256:${"0".repeat(64)}`,
      Command: (container.body.Cmd ?? []).join(" "),
      Created: 1_700_000_000,
      Ports: [],
      Labels: container.body.Labels ?? {},
      State: container.process?.running ? "running" : "exited",
      Status: container.process?.running ? "Up 1 second" : "Exited (0) 1 second ago",
      HostConfig: { NetworkMode: "bridge", Annotations: { a: "b" } },
      Health: { Status: "none", FailingStreak: 0 },
      NetworkSettings: { Networks: {} },
      Mounts: [],
    }));
  }

  create(name: string | undefined, body: ContainerCreateRequest): FakeContainer {
    if (body.Image === "") throw new EngineError("invalid-argument", "no command specified");
    if (body.Image.startsWith("nosuch")) throw new EngineError("not-found", `No such image: ${body.Image}`);
    const id = randomId();
    const container: FakeContainer = {
      id,
      name: name ?? `fake_${id.slice(0, 8)}`,
      body,
      process: undefined,
      exitCode: 0,
      exits: [],
      removals: [],
      pending: [],
    };
    this.containers.set(id, container);
    return container;
  }

  start(container: FakeContainer): void {
    if (container.process?.running) throw new EngineError("not-modified", "already started");
    const process = new FakeProcess(container.body.Tty);
    container.process = process;
    for (const { request, stream } of container.pending.splice(0))
      stream.resolve(this.#attachment(container, process, request));
    void process.exit.then((code) => {
      container.exitCode = code;
      for (const waiter of container.exits.splice(0)) waiter.resolve(code);
      if (container.body.HostConfig.AutoRemove) this.remove(container);
    });
    process.run(container.body.Cmd ?? []);
  }

  remove(container: FakeContainer): void {
    this.containers.delete(container.id);
    for (const waiter of container.removals.splice(0)) waiter.resolve(container.exitCode);
    for (const { stream } of container.pending.splice(0)) stream.resolve(undefined);
  }

  #attachment(container: FakeContainer, process: FakeProcess, request: AttachRequest): StreamAttachment {
    const echo = container.body.Cmd?.[0] === "cat";
    return {
      fd: process.attach(request.stdin, echo, container.body.StdinOnce),
      tty: container.body.Tty,
      detachKeys: parseDetachKeysForTests(request.detachKeys),
      detached: () => void this.calls.push({ name: "detached", args: [container.name] }),
    };
  }

  attach(container: FakeContainer, request: AttachRequest, signal: AbortSignal): AttachResult {
    const { process } = container;
    const stream = deferred<StreamAttachment | undefined>();
    if (process?.running) stream.resolve(this.#attachment(container, process, request));
    else if (process !== undefined) stream.resolve(undefined);
    else {
      container.pending.push({ request, stream });
      signal.addEventListener("abort", () => stream.resolve(undefined), { once: true });
    }
    return {
      tty: container.body.Tty,
      logs: request.logs ? replay(process?.log ?? []) : undefined,
      stream: request.stream ? stream.promise : undefined,
    };
  }

  logs(container: FakeContainer, request: LogsRequest, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const process = container.process;
    return (async function* () {
      let index = 0;
      const log = process?.log ?? [];
      for (;;) {
        while (index < log.length) yield log[index++]!;
        if (!request.follow || !process?.running || signal.aborted) return;
        await Bun.sleep(5);
      }
    })();
  }

  async wait(container: FakeContainer, condition: WaitCondition): Promise<ContainerWaitResponse> {
    const waiter = deferred<number>();
    if (condition === "removed") container.removals.push(waiter);
    else if (condition === "not-running" && !container.process?.running) waiter.resolve(container.exitCode);
    else container.exits.push(waiter);
    return { StatusCode: await waiter.promise };
  }

  execStart(exec: FakeExec, detach: boolean): StreamAttachment | undefined {
    if (exec.process !== undefined) throw new EngineError("conflict", `exec command ${exec.id} has already run`);
    const process = new FakeProcess(exec.body.Tty);
    exec.process = process;
    const command = exec.body.Cmd ?? [];
    const attachment: StreamAttachment | undefined = detach
      ? undefined
      : {
          fd: process.attach(exec.body.AttachStdin, command[0] === "cat", true),
          tty: exec.body.Tty,
          detachKeys: parseDetachKeysForTests(exec.body.DetachKeys),
          detached: () => void this.calls.push({ name: "exec detached", args: [exec.id] }),
        };
    void process.exit.then((code) => (exec.exitCode = code));
    process.run(command);
    return attachment;
  }

  async *pull(image: string): AsyncGenerator<ProgressMessage> {
    if (image.includes("nosuch"))
      throw new EngineError("not-found", `manifest for ${image} not found: manifest unknown: manifest unknown`);
    yield { status: `Pulling from ${image}`, id: "latest" };
    if (image.includes("broken")) throw new EngineError("data-loss", "layer does not verify");
    yield { status: `Status: Downloaded newer image for ${image}` };
  }

  async *load(body: AsyncIterable<Uint8Array>): AsyncGenerator<ProgressMessage> {
    for await (const bytes of body) {
      this.uploaded += bytes.length;
      await this.uploadPace();
    }
    yield { stream: `Loaded image: ${this.uploaded} bytes\n` };
  }

  inspect(container: FakeContainer): ContainerInspect {
    const running = container.process?.running === true;
    return {
      Id: container.id,
      Created: "2026-01-01T00:00:00Z",
      Path: container.body.Cmd?.[0] ?? "",
      Args: container.body.Cmd?.slice(1) ?? [],
      State: {
        Status: running ? "running" : container.process === undefined ? "created" : "exited",
        Running: running,
        Paused: false,
        Restarting: false,
        OOMKilled: false,
        Dead: false,
        Pid: running ? 1 : 0,
        ExitCode: container.exitCode,
        Error: "",
        StartedAt: zeroTime,
        FinishedAt: zeroTime,
      },
      Image: `sha256:${"0".repeat(64)}`,
      ResolvConfPath: "",
      HostnamePath: "",
      HostsPath: "",
      LogPath: "",
      Name: `/${container.name}`,
      RestartCount: 0,
      Driver: "overlay2",
      Platform: "linux",
      MountLabel: "",
      ProcessLabel: "",
      AppArmorProfile: "",
      ExecIDs: null,
      HostConfig: container.body.HostConfig,
      Mounts: [],
      Config: container.body,
      NetworkSettings: { SandboxID: "", SandboxKey: "", Ports: {}, Networks: {} },
    };
  }
}

async function* replay(log: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* log;
}

/** The Backend that the server sees. What the fake does not have answers "not-implemented". */
export function createFakeBackend(fake = new FakeBackend()): { readonly fake: FakeBackend; readonly backend: Backend } {
  const known: { readonly [Area in keyof Backend]: Partial<Backend[Area]> } = {
    system: {
      version: () => fake.version(),
      info: async () => fake.info(),
      events: (_request, signal) => fake.eventStream(signal),
    },
    containers: {
      list: async () => fake.containerList(),
      create: async (name, _platform, body) => ({ Id: fake.create(name, body).id, Warnings: [] }),
      explain: async () => ({ Text: "" }),
      inspect: async (name) => fake.inspect(fake.find(name)),
      start: async (name) => fake.start(fake.find(name)),
      stop: async (name) => {
        const container = fake.find(name);
        if (!container.process?.running) throw new EngineError("not-modified", "already stopped");
        container.process.end(137);
      },
      kill: async (name) => fake.find(name).process?.end(137),
      remove: async (name) => fake.remove(fake.find(name)),
      wait: async (name, condition) => ({ result: fake.wait(fake.find(name), condition) }),
      attach: async (name, request, signal) => fake.attach(fake.find(name), request, signal),
      logs: async (name, request, signal) => {
        const container = fake.find(name);
        return { tty: container.body.Tty, stream: fake.logs(container, request, signal) };
      },
      resize: async (name) => void fake.find(name),
      archiveStat: async () => ({ name: "x", size: 1, mode: 420, mtime: zeroTime, linkTarget: "" }),
    },
    execs: {
      create: async (name, body) => {
        const exec: FakeExec = { id: randomId(), container: fake.find(name), body, process: undefined, exitCode: null };
        fake.execs.set(exec.id, exec);
        return { Id: exec.id };
      },
      start: async (id, { detach }) => fake.execStart(findExec(fake, id), detach),
      inspect: async (id) => {
        const exec = findExec(fake, id);
        return {
          ID: exec.id,
          Running: exec.process?.running === true,
          ExitCode: exec.exitCode,
          ProcessConfig: { tty: exec.body.Tty, entrypoint: exec.body.Cmd?.[0] ?? "", arguments: [] },
          OpenStdin: exec.body.AttachStdin,
          OpenStderr: exec.body.AttachStderr,
          OpenStdout: exec.body.AttachStdout,
          CanRemove: false,
          ContainerID: exec.container.id,
          DetachKeys: "",
          Pid: 0,
        };
      },
      resize: async (id) => void findExec(fake, id),
    },
    images: {
      inspect: async (name) => {
        throw new EngineError("not-found", `No such image: ${name}:latest`);
      },
      pull: ({ fromImage }) => fake.pull(fromImage),
      load: (body) => fake.load(body),
      save: async function* () {
        yield Buffer.alloc(1 << 20, "s");
      },
    },
    volumes: {
      list: async () => ({ Volumes: [], Warnings: null }),
    },
    networks: {
      list: async () => [],
    },
  };
  const counted = <B extends object>(area: string, methods: Partial<B>): B =>
    new Proxy(methods, {
      get(target, name) {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function")
          return async () => {
            throw new EngineError("not-implemented", `the fake has no ${area}.${String(name)}`);
          };
        return (...args: unknown[]): unknown => {
          fake.calls.push({ name: `${area}.${String(name)}`, args });
          return Reflect.apply(method, undefined, args);
        };
      },
    }) as B;
  const backend: Backend = {
    system: counted("system", known.system),
    containers: counted("containers", known.containers),
    execs: counted("execs", known.execs),
    images: counted("images", known.images),
    volumes: counted("volumes", known.volumes),
    networks: counted("networks", known.networks),
  };
  return { fake, backend };
}

function findExec(fake: FakeBackend, id: string): FakeExec {
  const exec = fake.execs.get(id);
  if (exec === undefined) throw new EngineError("not-found", `No such exec instance: ${id}`);
  return exec;
}
