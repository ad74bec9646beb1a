/** Containers of the fake: states, streams and errors like the engine's, and a few built-in programs (FakeProcess). */
import { EngineError, deferred, zeroTime } from "@fathom/base";
import type {
  ArchivePutRequest,
  AttachRequest,
  AttachResult,
  ContainerBackend,
  ContainerListRequest,
  CreateRules,
  LogsRequest,
  RemoveOptions,
  StatsRequest,
  WaitCondition,
} from "@fathom/engine";
import { refuseFilters } from "@fathom/engine/testing";
import { formatPlatform } from "@fathom/spec";
import type {
  CommitRequest,
  ContainerCreateRequest,
  ContainerCreateResponse,
  ContainerInspect,
  ContainerStatsResponse,
  ContainerSummary,
  ContainerTopResponse,
  ContainerUpdateRequest,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  FilesystemChange,
  Filters,
  PathStat,
  Platform,
  PruneReport,
} from "@fathom/spec";
import { FakeContainer } from "./fake-container.ts";
import type { FakeEvents } from "./fake-events.ts";

const stat: PathStat = { name: "x", size: 1, mode: 420, mtime: zeroTime, linkTarget: "" };

export class FakeContainers implements ContainerBackend {
  readonly #all = new Map<string, FakeContainer>();
  readonly #events: FakeEvents;

  constructor(events: FakeEvents) {
    this.#events = events;
  }

  /** @throws not-found */
  find(asked: string): FakeContainer {
    const name = asked.replace(/^\//, "");
    for (const container of this.#all.values()) if (container.name === name) return container;
    for (const container of this.#all.values()) if (name !== "" && container.id.startsWith(name)) return container;
    throw new EngineError("not-found", `No such container: ${asked}`);
  }

  all(): readonly FakeContainer[] {
    return [...this.#all.values()];
  }

  async list({ all, filters }: ContainerListRequest): Promise<ContainerSummary[]> {
    refuseFilters(filters);
    return this.all().flatMap((container) => (all || container.running ? [container.summary()] : []));
  }

  async create(
    name: string | undefined,
    _platform: Platform | undefined,
    body: ContainerCreateRequest,
    _rules?: CreateRules,
  ): Promise<ContainerCreateResponse> {
    if (body.Image === "") throw new EngineError("invalid-argument", "no command specified");
    if (body.Image.startsWith("nosuch")) throw new EngineError("not-found", `No such image: ${body.Image}`);
    this.#mustBeFree(name);
    const container = new FakeContainer(name, body);
    this.#all.set(container.id, container);
    this.#events.publish("create", container.id, body.Image);
    return { Id: container.id, Warnings: [] };
  }

  #mustBeFree(name: string | undefined): void {
    if (this.all().some((container) => container.name === name))
      throw new EngineError("conflict", `Conflict. The container name "/${name}" is already in use`);
  }

  async explain(
    name: string | undefined,
    platform: Platform | undefined,
    { Image }: ContainerCreateRequest,
  ): Promise<{ Text: string }> {
    const more = platform === undefined ? "" : ` for ${formatPlatform(platform)}`;
    return { Text: `the fake has no plan of ${name ?? "a container"} of ${Image}${more}\n` };
  }

  async inspect(name: string): Promise<ContainerInspect> {
    return this.find(name).inspect();
  }

  async start(name: string): Promise<void> {
    const container = this.find(name);
    if (container.running) throw new EngineError("not-modified", "already started");
    container.start(() => {
      this.#events.publish("die", container.id, container.body.Image);
      if (container.hostConfig.AutoRemove) this.#remove(container);
    });
    this.#events.publish("start", container.id, container.body.Image);
  }

  async stop(name: string): Promise<void> {
    const { process, running } = this.find(name);
    if (process === undefined || !running) throw new EngineError("not-modified", "already stopped");
    process.end(137);
    await process.exit;
  }

  async restart(name: string): Promise<void> {
    if (this.find(name).running) await this.stop(name);
    await this.start(name);
  }

  async kill(name: string): Promise<void> {
    this.find(name).mustRun().end(137);
  }

  async wait(
    name: string,
    condition: WaitCondition,
    signal: AbortSignal,
  ): Promise<{ readonly result: Promise<ContainerWaitResponse> }> {
    const container = this.find(name);
    const waiter = deferred<number>();
    if (condition === "not-running" && !container.running) waiter.resolve(container.exitCode);
    else (condition === "removed" ? container.removals : container.exits).add(waiter);
    signal.addEventListener("abort", () => waiter.reject(new EngineError("aborted", "the client went away")));
    const result = waiter.promise.then((StatusCode) => ({ StatusCode }));
    // The client has hung up and does not read it.
    result.catch(() => undefined);
    return { result };
  }

  async remove(name: string, { force, link }: RemoveOptions): Promise<void> {
    const container = this.find(name);
    if (link) throw new EngineError("conflict", "the fake has no links");
    if (container.running && !force)
      throw new EngineError("conflict", `cannot remove container "${name}": container is running`);
    container.process?.end(137);
    this.#remove(container);
  }

  #remove(container: FakeContainer): void {
    if (!this.#all.delete(container.id)) return;
    container.gone();
    this.#events.publish("destroy", container.id, container.body.Image);
  }

  async rename(name: string, newName: string): Promise<void> {
    const container = this.find(name);
    this.#mustBeFree(newName);
    container.name = newName;
  }

  async pause(name: string): Promise<void> {
    const container = this.find(name);
    container.mustRun();
    if (container.paused) throw new EngineError("conflict", `container ${container.id} is already paused`);
    container.paused = true;
  }

  async unpause(name: string): Promise<void> {
    const container = this.find(name);
    if (!container.paused) throw new EngineError("conflict", `Container ${container.id} is not paused`);
    container.paused = false;
  }

  async update(name: string, { RestartPolicy }: ContainerUpdateRequest): Promise<ContainerUpdateResponse> {
    const container = this.find(name);
    if (RestartPolicy !== undefined) container.hostConfig = { ...container.hostConfig, RestartPolicy };
    return { Warnings: null };
  }

  async resize(name: string): Promise<void> {
    this.find(name).mustRun();
  }

  async top(name: string): Promise<ContainerTopResponse> {
    this.find(name).mustRun();
    return { Titles: ["PID"], Processes: [["1"]] };
  }

  async stats(
    name: string,
    { stream }: StatsRequest,
    signal: AbortSignal,
  ): Promise<AsyncIterable<ContainerStatsResponse>> {
    const container = this.find(name);
    return (async function* answers() {
      yield container.stats();
      if (!stream || signal.aborted) return;
      const hungUp = deferred<void>();
      signal.addEventListener("abort", () => hungUp.resolve(), { once: true });
      await hungUp.promise;
    })();
  }

  async changes(name: string): Promise<FilesystemChange[]> {
    this.find(name);
    return [{ Path: "/x", Kind: 1 }];
  }

  async attach(name: string, request: AttachRequest, signal: AbortSignal): Promise<AttachResult> {
    const container = this.find(name);
    container.mustGoOn("attach");
    return {
      tty: container.body.Tty,
      logs: request.logs ? replay(container.process?.log ?? []) : undefined,
      stream: request.stream ? container.stream(request, signal) : undefined,
    };
  }

  async logs(
    name: string,
    { stdout, stderr, follow }: LogsRequest,
    signal: AbortSignal,
  ): Promise<{ readonly tty: boolean; readonly stream: AsyncIterable<Uint8Array> }> {
    const container = this.find(name);
    if (!stdout && !stderr)
      throw new EngineError("invalid-argument", "must specify at least one of 'stdout' or 'stderr'");
    const { process } = container;
    const stream = async function* (): AsyncGenerator<Uint8Array> {
      const log = process?.log ?? [];
      for (let at = 0; ;) {
        while (at < log.length) yield log[at++]!;
        if (!follow || !process?.running || signal.aborted) return;
        await Bun.sleep(5);
      }
    };
    return { tty: container.body.Tty, stream: stream() };
  }

  async prune(filters: Filters): Promise<PruneReport> {
    refuseFilters(filters);
    const ended = this.all().filter(({ running }) => !running);
    for (const container of ended) this.#remove(container);
    return { ContainersDeleted: ended.map(({ id }) => id), SpaceReclaimed: 0 };
  }

  async archiveStat(name: string): Promise<PathStat> {
    this.find(name);
    return stat;
  }

  async archiveGet(name: string): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }> {
    this.find(name);
    return { stat, tar: replay([Buffer.from("tar")]) };
  }

  async archivePut(name: string, { path, tar }: ArchivePutRequest): Promise<void> {
    this.find(name);
    if (path.startsWith("/nosuch"))
      throw new EngineError("not-found", `Could not find the file ${path} in container ${name}`);
    // eslint-disable-next-line no-empty -- a server passes on the body, and it is read to its end
    for await (const _ of tar);
  }

  async export(name: string): Promise<AsyncIterable<Uint8Array>> {
    this.find(name);
    return replay([Buffer.from("tar")]);
  }

  async commit({ container }: CommitRequest): Promise<{ Id: string }> {
    this.find(container);
    return { Id: `sha256:${"1".repeat(64)}` };
  }
}

async function* replay(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}
