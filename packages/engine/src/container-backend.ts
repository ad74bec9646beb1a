/** The container half as the servers call it: each method is one function of its own file. */
import { explainRun } from "./container-explain.ts";
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
import { archiveGet, archiveStat, exportContainer } from "@fathom/containers/files/archive";
import {
  attachContainer,
  containerLogs,
  type AttachRequest,
  type AttachResult,
  type LogsRequest,
} from "@fathom/containers/streams/attach";
import { pruneContainers, renameContainer, resizeContainer, updateContainer } from "./container-change.ts";
import { commitContainer } from "./container-commit.ts";
import { createContainer } from "./container-create.ts";
import { listContainers, type ContainerListRequest } from "./container-list.ts";
import { removeByName, type RemoveOptions } from "@fathom/containers/lifecycle/remove";
import { startContainer } from "@fathom/containers/lifecycle/start";
import { killContainer, restartContainer, stopContainer, type StopOptions } from "@fathom/containers/lifecycle/stop";
import { inspectContainer } from "./container-view.ts";
import { waitContainer, type WaitCondition } from "@fathom/containers/lifecycle/wait";
import { locked, mustRun, publish } from "@fathom/containers/context";
import type { EngineContext } from "./context.ts";
import { parseDetachKeys } from "@fathom/containers/streams/detach-keys";
import type { EventQuery } from "./events.ts";
import {
  createExec,
  inspectExec,
  resizeExec,
  startExec,
  type ExecStartOptions,
  type StreamAttachment,
} from "@fathom/containers/exec/exec";
import { pauseContainer, unpauseContainer } from "@fathom/containers/lifecycle/pause";
import { holdLayers } from "@fathom/containers/files/layer-hold";
import { parseSignal, SIGKILL } from "@fathom/containers/signals";
import { inContext, inDockersWords, saying } from "./words/refusal-words.ts";
import { inspectNetwork, listNetworks } from "./network-state.ts";
import { containerProcesses } from "@fathom/containers/processes/process-listing";
import { diskUsage, info, version, type SystemSources } from "./system.ts";

/** As clients ask for it. */
interface StopRequest {
  readonly signal: string | undefined;
  readonly timeoutSeconds: number | undefined;
}

export interface ContainerBackend {
  version(): SystemVersion;
  info(): Promise<SystemInfo>;
  diskUsage(types: readonly string[]): Promise<DiskUsage>;
  events(request: EventQuery, signal: AbortSignal): AsyncIterable<EventMessage>;

  containerList(request: ContainerListRequest): Promise<ContainerSummary[]>;
  containerCreate(
    name: string | undefined,
    platform: Platform | undefined,
    body: ContainerCreateRequest,
  ): Promise<ContainerCreateResponse>;
  explain(body: ContainerCreateRequest): Promise<{ Text: string }>;
  containerInspect(container: string, size: boolean): Promise<ContainerInspect>;
  containerStart(container: string, detachKeys: string | undefined): Promise<void>;
  containerStop(container: string, options: StopRequest): Promise<void>;
  containerRestart(container: string, options: StopRequest): Promise<void>;
  containerKill(container: string, signalName: string | undefined): Promise<void>;
  containerWait(
    container: string,
    condition: WaitCondition,
    signal: AbortSignal,
  ): Promise<{ readonly result: Promise<ContainerWaitResponse> }>;
  containerRemove(container: string, options: RemoveOptions): Promise<void>;
  containerRename(container: string, newName: string): Promise<void>;
  containerPause(container: string): Promise<void>;
  containerUnpause(container: string): Promise<void>;
  containerUpdate(container: string, body: ContainerUpdateRequest): Promise<ContainerUpdateResponse>;
  containerResize(container: string, rows: number, columns: number): Promise<void>;
  containerTop(container: string, psArguments: string): Promise<ContainerTopResponse>;
  containerChanges(container: string): Promise<FilesystemChange[]>;
  containerAttach(container: string, request: AttachRequest, signal: AbortSignal): Promise<AttachResult>;
  containerLogs(
    container: string,
    request: LogsRequest,
    signal: AbortSignal,
  ): Promise<{ readonly tty: boolean; readonly stream: AsyncIterable<Uint8Array> }>;
  containerPrune(filters: Filters): Promise<PruneReport>;
  archiveStat(container: string, path: string, signal: AbortSignal): Promise<PathStat>;
  archiveGet(
    container: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }>;
  containerExport(container: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  commit(request: CommitRequest): Promise<{ Id: string }>;

  execCreate(container: string, body: ExecCreateRequest): Promise<{ Id: string }>;
  execInspect(id: string): Promise<ExecInspect>;
  execStart(id: string, options: ExecStartOptions, signal: AbortSignal): Promise<StreamAttachment | undefined>;
  execResize(id: string, rows: number, columns: number): Promise<void>;

  networkList(filters: Filters): Promise<NetworkInspect[]>;
  networkInspect(name: string, options: { verbose: boolean; scope: string | undefined }): Promise<NetworkInspect>;
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
    version: () => version(engine),
    info: () => info(engine, engineId),
    diskUsage: (types) => diskUsage(engine, sources, types),
    events: (request, signal) => engine.events.subscribe(request, signal),

    containerList: (request) => listContainers(engine, request),
    containerCreate: (name, platform, body) => createContainer(engine, name, platform, body),
    explain: (body) => explainRun(engine, body),
    containerInspect: (name, size) => inspectContainer(engine, name, size),
    containerStart: async (name, detachKeys = "") => {
      const container = engine.containers.find(name);
      parseDetachKeys(detachKeys, "detach");
      await inDockersWords(locked(engine, container, () => startContainer(engine, container, { detachKeys })));
    },
    containerStop: async (name, options) => {
      const container = engine.containers.find(name);
      await inDockersWords(stopContainer(engine, container, numbered(options, `cannot stop container: ${name}`)));
    },
    containerRestart: (name, options) =>
      saying(`Cannot restart container ${name}`, async () =>
        restartContainer(engine, engine.containers.find(name), numbered(options)),
      ),
    containerKill: (name, signalName = "") =>
      saying(`cannot kill container: ${name}`, async () =>
        killContainer(engine, engine.containers.find(name), signalName === "" ? SIGKILL : parseSignal(signalName)),
      ),
    containerWait: async (name, condition, signal) => waitContainer(engine, name, condition, signal),
    containerRemove: (name, options) => removeByName(engine, name, options),
    containerRename: (name, newName) => renameContainer(engine, name, newName),
    containerPause: (name) => inDockersWords(pauseContainer(engine, engine.containers.find(name))),
    containerUnpause: (name) => inDockersWords(unpauseContainer(engine, engine.containers.find(name))),
    containerUpdate: (name, body) => updateContainer(engine, name, body),
    containerResize: (name, rows, columns) => resizeContainer(engine, name, rows, columns),
    containerTop: async (name, psArguments) => {
      const container = engine.containers.find(name);
      const { titles, rows } = await containerProcesses(mustRun(container).cgroup, psArguments);
      publish(engine, container, "top");
      return { Titles: titles, Processes: rows };
    },
    containerChanges: async (name) => {
      const container = engine.containers.find(name);
      using _ = holdLayers(container);
      const changes = await engine.store.containers.changes(container.id);
      return changes.map(({ path, kind }) => ({ Path: path, Kind: kind }));
    },
    containerAttach: (name, request, signal) => attachContainer(engine, name, request, signal),
    containerLogs: async (name, request, signal) => containerLogs(engine, name, request, signal),
    containerPrune: (filters) => pruneContainers(engine, filters),
    archiveStat: (name, path, signal) => archiveStat(engine, name, path, signal),
    archiveGet: (name, path, signal) => archiveGet(engine, name, path, signal),
    containerExport: async (name, signal) => exportContainer(engine, name, signal),
    commit: (request) => commitContainer(engine, request),

    execCreate: async (name, body) => createExec(engine, name, body),
    execInspect: async (id) => inspectExec(engine, id),
    execStart: (id, options, signal) => startExec(engine, id, options, signal),
    execResize: (id, rows, columns) => resizeExec(engine, id, rows, columns),

    networkList: async (filters) => listNetworks(engine, filters),
    networkInspect: async (name, options) => inspectNetwork(engine, name, options),
  };
}
