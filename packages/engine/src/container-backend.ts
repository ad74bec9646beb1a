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
import { archiveGet, archiveStat, exportContainer } from "./container-archive.ts";
import {
  attachContainer,
  containerLogs,
  type AttachRequest,
  type AttachResult,
  type LogsRequest,
} from "./container-attach.ts";
import { pruneContainers, renameContainer, resizeContainer, updateContainer } from "./container-change.ts";
import { commitContainer } from "./container-commit.ts";
import { createContainer } from "./container-create.ts";
import { listContainers, type ContainerListRequest } from "./container-list.ts";
import { removeByName, type RemoveOptions } from "./container-remove.ts";
import { startContainer } from "./container-start.ts";
import { killContainer, restartContainer, stopContainer, type StopOptions } from "./container-stop.ts";
import { inspectContainer } from "./container-view.ts";
import { waitContainer, type WaitCondition } from "./container-wait.ts";
import { locked, mustRun, publish, type EngineContext } from "./context.ts";
import { parseDetachKeys } from "./detach-keys.ts";
import type { EventQuery } from "./events.ts";
import {
  createExec,
  inspectExec,
  resizeExec,
  startExec,
  type ExecStartOptions,
  type StreamAttachment,
} from "./exec.ts";
import { pauseContainer, unpauseContainer } from "./freeze.ts";
import { holdLayers } from "./layer-hold.ts";
import { inspectNetwork, listNetworks } from "./network-state.ts";
import { containerProcesses } from "./process-listing.ts";
import { diskUsage, info, version, type SystemSources } from "./system.ts";

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
  containerStop(container: string, options: StopOptions): Promise<void>;
  containerRestart(container: string, options: StopOptions): Promise<void>;
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
      await locked(engine, container, () => startContainer(engine, container, { detachKeys }));
    },
    containerStop: (name, options) => stopContainer(engine, name, options),
    containerRestart: (name, options) => restartContainer(engine, name, options),
    containerKill: (name, signalName) => killContainer(engine, name, signalName),
    containerWait: async (name, condition, signal) => waitContainer(engine, name, condition, signal),
    containerRemove: (name, options) => removeByName(engine, name, options),
    containerRename: (name, newName) => renameContainer(engine, name, newName),
    containerPause: (name) => pauseContainer(engine, name),
    containerUnpause: (name) => unpauseContainer(engine, name),
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
