/**
 * What the API server needs of an engine. The server parses HTTP, checks bodies with the schemas of `@fathom/spec`, adapts answers to
 * the negotiated version and frames streams; everything that means something happens behind this interface. Methods take and
 * give Docker's own JSON shapes (newest version), so that there is one vocabulary from the wire to the database.
 *
 * Errors: EngineError; `errors.ts` maps codes to statuses. Messages are what the user sees, in Docker's words where clients match.
 * Names: `container` arguments are what the user typed: name, id or unique id prefix.
 * Abort: each call takes the request's signal; it fires when the client hangs up. What abort leaves is said at the method.
 */
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
  HistoryItem,
  ImageDeleteItem,
  ImageInspect,
  ImageSummary,
  NetworkInspect,
  Platform,
  ProgressMessage,
  PruneReport,
  SystemInfo,
  SystemVersion,
  Volume,
  VolumeCreateRequest,
  VolumeListResponse,
} from "@fathom/spec";

export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress?: string;
}

/** A byte stream of a process, as the engine has it: a connected socket descriptor, owned by the caller. */
export interface StreamAttachment {
  /** Non-blocking stream socket; bytes from it go to the client as they are (multiplexed frames unless `tty`). */
  readonly fd: number;
  readonly tty: boolean;
  /** Key sequence bytes that detach; empty for none. The server filters stdin for it. */
  readonly detachKeys: Uint8Array;
  /** Tells the engine that the client detached by keys (event "detach"). */
  detached(): void;
}

export interface AttachRequest {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Old output first. */
  readonly logs: boolean;
  readonly stream: boolean;
  readonly detachKeys: string | undefined;
}

export interface AttachResult {
  readonly tty: boolean;
  /** Old output, framed like the stream; present with `logs`. */
  readonly logs: AsyncIterable<Uint8Array> | undefined;
  /**
   * Present with `stream`. On a container that is not running it is pending: it resolves when the container starts (attach comes before
   * start in every client), or to undefined when the container is removed or the signal aborts.
   */
  readonly stream: Promise<StreamAttachment | undefined> | undefined;
}

export interface LogsRequest {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly follow: boolean;
  /** Number of last lines, or "all". */
  readonly tail: number | "all";
  /** Nanoseconds since the epoch; undefined for no bound. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  readonly timestamps: boolean;
  readonly details: boolean;
}

export interface ContainerListRequest {
  readonly all: boolean;
  readonly limit: number | undefined;
  readonly size: boolean;
  readonly filters: Filters;
}

export type WaitCondition = "not-running" | "next-exit" | "removed";

export interface SystemBackend {
  version(): SystemVersion;
  info(): Promise<SystemInfo>;
  diskUsage(types: readonly string[]): Promise<DiskUsage>;
  /** Past events since `since`, then live ones until `until` or abort. */
  events(
    request: { since: bigint | undefined; until: bigint | undefined; filters: Filters },
    signal: AbortSignal,
  ): AsyncIterable<EventMessage>;
  /** Checks credentials against a registry. */
  authenticate(auth: RegistryAuth, signal: AbortSignal): Promise<{ Status: string; IdentityToken?: string }>;
}

export interface ContainerBackend {
  list(request: ContainerListRequest): Promise<ContainerSummary[]>;
  create(
    name: string | undefined,
    platform: Platform | undefined,
    body: ContainerCreateRequest,
  ): Promise<ContainerCreateResponse>;
  /** Fathom's own: the launch plan of such a container in words. Nothing stays. */
  explain(body: ContainerCreateRequest): Promise<{ Text: string }>;
  inspect(container: string, size: boolean): Promise<ContainerInspect>;
  /** @throws not-modified when it runs already. */
  start(container: string, detachKeys: string | undefined): Promise<void>;
  /**
   * Goes on when the client hangs up. `timeoutSeconds` undefined: the container's own; negative: for ever.
   * @throws not-modified when it does not run
   */
  stop(container: string, options: { signal: string | undefined; timeoutSeconds: number | undefined }): Promise<void>;
  /** As `containerStop`. */
  restart(
    container: string,
    options: { signal: string | undefined; timeoutSeconds: number | undefined },
  ): Promise<void>;
  kill(container: string, signalName: string | undefined): Promise<void>;
  /** Resolves the registration at once (headers are sent then), the result later. */
  wait(
    container: string,
    condition: WaitCondition,
    signal: AbortSignal,
  ): Promise<{ readonly result: Promise<ContainerWaitResponse> }>;
  remove(container: string, options: { volumes: boolean; force: boolean; link: boolean }): Promise<void>;
  rename(container: string, newName: string): Promise<void>;
  pause(container: string): Promise<void>;
  unpause(container: string): Promise<void>;
  update(container: string, body: ContainerUpdateRequest): Promise<ContainerUpdateResponse>;
  resize(container: string, rows: number, columns: number): Promise<void>;
  top(container: string, psArguments: string): Promise<ContainerTopResponse>;
  changes(container: string): Promise<FilesystemChange[]>;
  attach(container: string, request: AttachRequest, signal: AbortSignal): Promise<AttachResult>;
  /** `tty` tells whether the bytes are multiplexed frames (false) or raw (true). */
  logs(
    container: string,
    request: LogsRequest,
    signal: AbortSignal,
  ): Promise<{ readonly tty: boolean; readonly stream: AsyncIterable<Uint8Array> }>;
  prune(filters: Filters): Promise<PruneReport>;
  /** Stat of a path, for the X-Docker-Container-Path-Stat header. */
  archiveStat(
    container: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ name: string; size: number; mode: number; mtime: string; linkTarget: string }>;
  archiveGet(
    container: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{
    stat: { name: string; size: number; mode: number; mtime: string; linkTarget: string };
    tar: AsyncIterable<Uint8Array>;
  }>;
  export(container: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  commit(request: CommitRequest): Promise<{ Id: string }>;
}

export interface ExecBackend {
  create(container: string, body: ExecCreateRequest): Promise<{ Id: string }>;
  inspect(id: string): Promise<ExecInspect>;
  /** Starts it; with `detach` the stream is undefined. */
  start(
    id: string,
    options: { detach: boolean; tty: boolean; consoleSize: readonly [number, number] | undefined; stdin: boolean },
    signal: AbortSignal,
  ): Promise<StreamAttachment | undefined>;
  resize(id: string, rows: number, columns: number): Promise<void>;
}

export interface ImageBackend {
  list(request: {
    all: boolean;
    digests: boolean;
    sharedSize: boolean;
    filters: Filters;
    manifests: boolean;
  }): Promise<ImageSummary[]>;
  inspect(name: string, platform: Platform | undefined): Promise<ImageInspect>;
  history(name: string, platform: Platform | undefined): Promise<HistoryItem[]>;
  tag(name: string, repository: string, tag: string | undefined): Promise<void>;
  remove(name: string, options: { force: boolean; noPrune: boolean }): Promise<ImageDeleteItem[]>;
  prune(filters: Filters): Promise<PruneReport>;
  /** Messages as they come; an error thrown before the first message becomes a status, later ones an `errorDetail` line. */
  pull(
    request: {
      fromImage: string;
      tag: string | undefined;
      platform: string | undefined;
      auth: RegistryAuth | undefined;
    },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  push(
    request: { name: string; tag: string | undefined; auth: RegistryAuth | undefined; platform: string | undefined },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  load(
    body: AsyncIterable<Uint8Array>,
    options: { quiet: boolean; platform: string | undefined },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  save(names: readonly string[], platform: string | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
  import(
    request: {
      source: AsyncIterable<Uint8Array>;
      repository: string | undefined;
      tag: string | undefined;
      message: string | undefined;
      changes: readonly string[];
      platform: string | undefined;
    },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
}

export interface VolumeBackend {
  list(filters: Filters): Promise<VolumeListResponse>;
  create(body: VolumeCreateRequest): Promise<Volume>;
  inspect(name: string): Promise<Volume>;
  remove(name: string, force: boolean): Promise<void>;
  prune(filters: Filters): Promise<PruneReport>;
}

export interface NetworkBackend {
  list(filters: Filters): Promise<NetworkInspect[]>;
  inspect(name: string, options: { verbose: boolean; scope: string | undefined }): Promise<NetworkInspect>;
}

/** What the server asks, an area each. */
export interface Backend {
  readonly system: SystemBackend;
  readonly containers: ContainerBackend;
  readonly execs: ExecBackend;
  readonly images: ImageBackend;
  readonly volumes: VolumeBackend;
  readonly networks: NetworkBackend;
}
