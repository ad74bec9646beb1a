/** One container of the fake: its process, its waiters, and its views. */
import { EngineError, deferred, randomId, zeroTime, type Deferred } from "@fathom/base";
import type { AttachRequest, StreamAttachment } from "@fathom/engine";
import type {
  ContainerCreateRequest,
  ContainerInspect,
  ContainerStatsResponse,
  ContainerSummary,
  HostConfig,
} from "@fathom/spec";
import { parseDetachKeysForTests } from "./detach-keys.ts";
import { FakeProcess } from "./fake-process.ts";

export class FakeContainer {
  readonly id = randomId();
  name: string;
  readonly body: ContainerCreateRequest;
  hostConfig: HostConfig;
  process: FakeProcess | undefined;
  paused = false;
  exitCode = 0;
  readonly exits = new Set<Deferred<number>>();
  readonly removals = new Set<Deferred<number>>();
  readonly pending = new Set<{ request: AttachRequest; stream: Deferred<StreamAttachment | undefined> }>();
  /** How often a client detached with keys. */
  detached = 0;

  constructor(name: string | undefined, body: ContainerCreateRequest) {
    this.name = name ?? `fake_${this.id.slice(0, 8)}`;
    this.body = body;
    this.hostConfig = body.HostConfig;
  }

  get running(): boolean {
    return this.process?.running === true;
  }

  get status(): ContainerInspect["State"]["Status"] {
    if (this.running) return this.paused ? "paused" : "running";
    return this.process === undefined ? "created" : "exited";
  }

  /** @throws conflict when it does not run */
  mustRun(): FakeProcess {
    if (this.process === undefined || !this.running)
      throw new EngineError("conflict", `container ${this.id} is not running`);
    return this.process;
  }

  /** @throws conflict when it is paused */
  mustGoOn(action: string): void {
    if (this.paused) throw new EngineError("conflict", `container ${this.id} is paused, unpause it before ${action}`);
  }

  /** The program runs; `onEnd` follows its end. */
  start(onEnd: () => void): void {
    const process = new FakeProcess(this.body.Tty);
    this.process = process;
    for (const { request, stream } of this.pending) stream.resolve(this.attachment(process, request));
    this.pending.clear();
    void process.exit.then((code) => {
      this.paused = false;
      this.exitCode = code;
      for (const waiter of this.exits) waiter.resolve(code);
      this.exits.clear();
      onEnd();
    });
    process.run(this.body.Cmd ?? []);
  }

  /** Its waiters get their answer. */
  gone(): void {
    for (const waiter of [...this.exits, ...this.removals]) waiter.resolve(this.exitCode);
    for (const { stream } of this.pending) stream.resolve(undefined);
  }

  /** A stream to the running process, or to the next one. */
  stream(request: AttachRequest, signal: AbortSignal): Promise<StreamAttachment | undefined> {
    if (this.process !== undefined)
      return Promise.resolve(this.running ? this.attachment(this.process, request) : undefined);
    const stream = deferred<StreamAttachment | undefined>();
    const pending = { request, stream };
    this.pending.add(pending);
    const leave = (): void => {
      if (this.pending.delete(pending)) stream.resolve(undefined);
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    return stream.promise;
  }

  attachment(process: FakeProcess, request: AttachRequest): StreamAttachment {
    return {
      fd: process.attach(request.stdin, this.body.Cmd?.[0] === "cat", this.body.StdinOnce),
      tty: this.body.Tty,
      detachKeys: parseDetachKeysForTests(request.detachKeys),
      detached: () => void this.detached++,
    };
  }

  inspect(): ContainerInspect {
    const { status } = this;
    return {
      Id: this.id,
      Created: "2026-01-01T00:00:00Z",
      Path: this.body.Cmd?.[0] ?? "",
      Args: this.body.Cmd?.slice(1) ?? [],
      State: {
        Status: status,
        Running: this.running,
        Paused: this.paused,
        Restarting: false,
        OOMKilled: false,
        Dead: false,
        Pid: this.running ? 1 : 0,
        ExitCode: this.exitCode,
        Error: "",
        StartedAt: zeroTime,
        FinishedAt: zeroTime,
      },
      Image: `sha256:${"0".repeat(64)}`,
      ResolvConfPath: "",
      HostnamePath: "",
      HostsPath: "",
      LogPath: "",
      Name: `/${this.name}`,
      RestartCount: 0,
      Driver: "overlay2",
      Platform: "linux",
      MountLabel: "",
      ProcessLabel: "",
      AppArmorProfile: "",
      ExecIDs: null,
      HostConfig: this.hostConfig,
      Mounts: [],
      Config: this.body,
      NetworkSettings: { SandboxID: "", SandboxKey: "", Ports: {}, Networks: {} },
    };
  }

  stats(): ContainerStatsResponse {
    const cpu = {
      cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
      throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
    };
    return {
      id: this.id,
      name: `/${this.name}`,
      os_type: this.running ? "linux" : "",
      read: zeroTime,
      preread: zeroTime,
      pids_stats: this.running ? { current: 1 } : {},
      blkio_stats: {
        io_service_bytes_recursive: null,
        io_serviced_recursive: null,
        io_queue_recursive: null,
        io_service_time_recursive: null,
        io_wait_time_recursive: null,
        io_merged_recursive: null,
        io_time_recursive: null,
        sectors_recursive: null,
      },
      num_procs: 0,
      storage_stats: {},
      cpu_stats: cpu,
      precpu_stats: cpu,
      memory_stats: {},
    };
  }

  summary(): ContainerSummary {
    return {
      Id: this.id,
      Names: [`/${this.name}`],
      Image: this.body.Image,
      ImageID: `sha256:${"0".repeat(64)}`,
      Command: (this.body.Cmd ?? []).join(" "),
      Created: 1_700_000_000,
      Ports: [],
      Labels: this.body.Labels ?? {},
      State: this.status,
      Status: this.running ? "Up 1 second" : "Exited (0) 1 second ago",
      HostConfig: { NetworkMode: "bridge", Annotations: { a: "b" } },
      Health: { Status: "none", FailingStreak: 0 },
      NetworkSettings: { Networks: {} },
      Mounts: [],
    };
  }
}
