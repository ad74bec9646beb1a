/** The container half as the servers call it: each method is one function of its own file. */
import { explainRun } from "./explain.ts";
import type {
  CommitRequest,
  ContainerCreateRequest,
  ContainerCreateResponse,
  ContainerInspect,
  ContainerSummary,
  ContainerTopResponse,
  ContainerUpdateRequest,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  DiskUsage,
  EventMessage,
  ExecCreateRequest,
  ExecInspect,
  FilesystemChange,
  Filters,
  NetworkInspect,
  PathStat,
  Platform,
  PruneReport,
  SystemInfo,
  SystemVersion,
} from "@fathom/spec";
import {
  archiveGet,
  archiveStat,
  exportContainer,
  attachContainer,
  containerLogs,
  type AttachRequest,
  type AttachResult,
  type LogsRequest,
  removeByName,
  type RemoveOptions,
  startContainer,
  killContainer,
  restartContainer,
  stopContainer,
  type StopOptions,
  waitContainer,
  type WaitCondition,
  locked,
  mustRun,
  publish,
  parseDetachKeys,
  createExec,
  inspectExec,
  resizeExec,
  startExec,
  type ExecStartOptions,
  type StreamAttachment,
  pauseContainer,
  unpauseContainer,
  holdLayers,
  parseSignal,
  SIGKILL,
  containerProcesses,
} from "@fathom/containers";
import { pruneContainers, renameContainer, resizeContainer, updateContainer } from "./change.ts";
import { commitContainer } from "../commit/container-commit.ts";
import { createContainer } from "./create.ts";
import { listContainers, type ContainerListRequest } from "./list.ts";
import { inspectContainer } from "./view.ts";
import type { EngineContext } from "../context.ts";
import type { EventQuery } from "../system/events.ts";
import { inContext, inDockersWords, saying } from "../words/refusal-words.ts";
import { inspectNetwork, listNetworks } from "../networks/network-state.ts";
import { diskUsage, info, version, type SystemSources } from "../system/system.ts";

/** As clients ask for it. */
interface StopRequest {
  readonly signal: string | undefined;
  readonly timeoutSeconds: number | undefined;
}

export interface SystemViews {
  version(): SystemVersion;
  info(): Promise<SystemInfo>;
  diskUsage(types: readonly string[]): Promise<DiskUsage>;
  events(request: EventQuery, signal: AbortSignal): AsyncIterable<EventMessage>;
}

export interface ContainerVerbs {
  list(request: ContainerListRequest): Promise<ContainerSummary[]>;
  create(
    name: string | undefined,
    platform: Platform | undefined,
    body: ContainerCreateRequest,
  ): Promise<ContainerCreateResponse>;
  explain(body: ContainerCreateRequest): Promise<{ Text: string }>;
  inspect(container: string, size: boolean): Promise<ContainerInspect>;
  start(container: string, detachKeys: string | undefined): Promise<void>;
  stop(container: string, options: StopRequest): Promise<void>;
  restart(container: string, options: StopRequest): Promise<void>;
  kill(container: string, signalName: string | undefined): Promise<void>;
  wait(
    container: string,
    condition: WaitCondition,
    signal: AbortSignal,
  ): Promise<{ readonly result: Promise<ContainerWaitResponse> }>;
  remove(container: string, options: RemoveOptions): Promise<void>;
  rename(container: string, newName: string): Promise<void>;
  pause(container: string): Promise<void>;
  unpause(container: string): Promise<void>;
  update(container: string, body: ContainerUpdateRequest): Promise<ContainerUpdateResponse>;
  resize(container: string, rows: number, columns: number): Promise<void>;
  top(container: string, psArguments: string): Promise<ContainerTopResponse>;
  changes(container: string): Promise<FilesystemChange[]>;
  attach(container: string, request: AttachRequest, signal: AbortSignal): Promise<AttachResult>;
  logs(
    container: string,
    request: LogsRequest,
    signal: AbortSignal,
  ): Promise<{ readonly tty: boolean; readonly stream: AsyncIterable<Uint8Array> }>;
  prune(filters: Filters): Promise<PruneReport>;
  archiveStat(container: string, path: string, signal: AbortSignal): Promise<PathStat>;
  archiveGet(
    container: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }>;
  export(container: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  commit(request: CommitRequest): Promise<{ Id: string }>;
}

export interface ExecVerbs {
  create(container: string, body: ExecCreateRequest): Promise<{ Id: string }>;
  inspect(id: string): Promise<ExecInspect>;
  start(id: string, options: ExecStartOptions, signal: AbortSignal): Promise<StreamAttachment | undefined>;
  resize(id: string, rows: number, columns: number): Promise<void>;
}

export interface NetworkViews {
  list(filters: Filters): Promise<NetworkInspect[]>;
  inspect(name: string, options: { verbose: boolean; scope: string | undefined }): Promise<NetworkInspect>;
}

/** What the API asks of the container half, an area each. */
export interface ContainerBackend {
  readonly system: SystemViews;
  readonly containers: ContainerVerbs;
  readonly execs: ExecVerbs;
  readonly networks: NetworkViews;
}

/** @throws invalid-argument that begins with `action` */
function numbered({ signal = "", timeoutSeconds }: StopRequest, action?: string): StopOptions {
  try {
    return { signal: signal === "" ? undefined : parseSignal(signal), timeoutSeconds };
  } catch (error) {
    throw action === undefined ? error : inContext(action, error);
  }
}

export function createContainerBackend(
  engine: EngineContext,
  sources: SystemSources,
  engineId: string,
): ContainerBackend {
  return {
    system: {
      version: () => version(engine),
      info: () => info(engine, engineId),
      diskUsage: (types) => diskUsage(engine, sources, types),
      events: (request, signal) => engine.events.subscribe(request, signal),
    },
    containers: {
      list: (request) => listContainers(engine, request),
      create: (name, platform, body) => createContainer(engine, name, platform, body),
      explain: (body) => explainRun(engine, body),
      inspect: (name, size) => inspectContainer(engine, name, size),
      start: async (name, detachKeys = "") => {
        const container = engine.containers.find(name);
        parseDetachKeys(detachKeys, "detach");
        await inDockersWords(locked(engine, container, () => startContainer(engine, container, { detachKeys })));
      },
      stop: async (name, options) => {
        const container = engine.containers.find(name);
        await inDockersWords(stopContainer(engine, container, numbered(options, `cannot stop container: ${name}`)));
      },
      restart: async (name, options) => {
        const container = engine.containers.find(name);
        await saying(`Cannot restart container ${name}`, async () =>
          restartContainer(engine, container, numbered(options)),
        );
      },
      kill: (name, signalName = "") =>
        saying(`cannot kill container: ${name}`, async () =>
          killContainer(engine, engine.containers.find(name), signalName === "" ? SIGKILL : parseSignal(signalName)),
        ),
      wait: async (name, condition, signal) => waitContainer(engine, name, condition, signal),
      remove: (name, options) => removeByName(engine, name, options),
      rename: (name, newName) => renameContainer(engine, name, newName),
      pause: (name) => inDockersWords(pauseContainer(engine, engine.containers.find(name))),
      unpause: (name) => inDockersWords(unpauseContainer(engine, engine.containers.find(name))),
      update: (name, body) => updateContainer(engine, name, body),
      resize: (name, rows, columns) => resizeContainer(engine, name, rows, columns),
      top: async (name, psArguments) => {
        const container = engine.containers.find(name);
        const { titles, rows } = await containerProcesses(mustRun(container).cgroup, psArguments);
        publish(engine, container, "top");
        return { Titles: titles, Processes: rows };
      },
      changes: async (name) => {
        const container = engine.containers.find(name);
        using _ = holdLayers(container);
        const changes = await engine.store.snapshots.changes(container.id);
        return changes.map(({ path, kind }) => ({ Path: path, Kind: kind }));
      },
      attach: (name, request, signal) => attachContainer(engine, name, request, signal),
      logs: async (name, request, signal) => containerLogs(engine, name, request, signal),
      prune: (filters) => pruneContainers(engine, filters),
      archiveStat: (name, path, signal) => archiveStat(engine, name, path, signal),
      archiveGet: (name, path, signal) => archiveGet(engine, name, path, signal),
      export: async (name, signal) => exportContainer(engine, name, signal),
      commit: (request) => commitContainer(engine, request),
    },
    execs: {
      create: async (name, body) => createExec(engine, name, body),
      inspect: async (id) => inspectExec(engine, id),
      start: (id, options, signal) => startExec(engine, id, options, signal),
      resize: (id, rows, columns) => resizeExec(engine, id, rows, columns),
    },
    networks: {
      list: async (filters) => listNetworks(engine, filters),
      inspect: async (name, options) => inspectNetwork(engine, name, options),
    },
  };
}
