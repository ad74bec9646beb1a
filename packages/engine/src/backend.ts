/**
 * The engine as servers use it, one interface per area. A server parses HTTP, checks bodies with the decoders of `@fathom/spec`, adapts answers
 * to the negotiated version and frames streams. Everything that has a meaning happens behind this interface. Methods receive and return
 * Docker's own JSON types (newest version), so the same names are used from the network to the database. Every implementation and every fake
 * runs the suites in `testing/suites/`.
 *
 * Errors: EngineError; the server maps its codes to statuses. Users see the messages; they are Docker's words where clients match on them.
 * Names: `container` arguments are what the user typed: name, id or unique id prefix.
 * Abort: calls that may last receive the request's signal, which aborts when the client hangs up. Each method says what an abort leaves.
 */
import type {
  ExecStartOptions,
  StreamAttachment,
  RemoveOptions,
  WaitCondition,
  AttachResult,
  LogsRequest,
  StreamSelection,
} from "@fathom/containers";
import type {
  BuildPruneReport,
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
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkCreateResponse,
  NetworkDisconnectRequest,
  NetworkInspect,
  NetworkPruneReport,
  PathStat,
  Platform,
  ProgressMessage,
  PruneReport,
  RegistryAuth,
  SystemInfo,
  SystemVersion,
  Volume,
  VolumeCreateRequest,
  VolumeListResponse,
} from "@fathom/spec";

export type {
  AttachResult,
  ExecStartOptions,
  LogsRequest,
  RegistryAuth,
  RemoveOptions,
  StreamAttachment,
  WaitCondition,
};

export interface AttachRequest extends StreamSelection {
  /** For example "ctrl-p,ctrl-q". */
  readonly detachKeys: string | undefined;
}

export interface ContainerListRequest {
  readonly all: boolean;
  readonly limit: number | undefined;
  readonly size: boolean;
  readonly filters: Filters;
}

/** What older clients mean by the same request. */
export interface CreateRules {
  /** Mounts below a read-only bind stay writable, as before API 1.44. */
  readonly shallowReadOnlyBinds: boolean;
}

export interface ArchivePutRequest {
  readonly path: string;
  readonly tar: AsyncIterable<Uint8Array>;
  /** It is an error when a directory would replace something else, or the other way round. */
  readonly noOverwriteDirNonDir: boolean;
  /** Everything belongs to the container's user. */
  readonly copyUidGid: boolean;
}

export interface StatsRequest {
  /** One answer a second until the client hangs up. Otherwise one answer after a second, with which rates can be computed. */
  readonly stream: boolean;
  /** One answer at once, without the sample before it. */
  readonly oneShot: boolean;
}

export interface StopRequest {
  readonly signal: string | undefined;
  /** Undefined: the container's own timeout; negative: wait for ever. */
  readonly timeoutSeconds: number | undefined;
}

export interface EventQuery {
  /** Nanoseconds since the epoch. Without it, only live events are returned. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  readonly filters: Filters;
}

export interface SystemBackend {
  version(): SystemVersion;
  info(): Promise<SystemInfo>;
  diskUsage(types: readonly string[]): Promise<DiskUsage>;
  /**
   * Past events since `since`, then live events until `until` or abort. Listening starts with this call, not with the first read.
   * @throws invalid-argument at once, for an unknown filter, because the server has not answered yet
   */
  events(request: EventQuery, signal: AbortSignal): AsyncIterable<EventMessage>;
  /** Checks credentials against a registry. */
  authenticate(auth: RegistryAuth, signal: AbortSignal): Promise<{ Status: string; IdentityToken?: string }>;
}

export interface ContainerBackend {
  list(request: ContainerListRequest): Promise<ContainerSummary[]>;
  create(
    name: string | undefined,
    platform: Platform | undefined,
    body: ContainerCreateRequest,
    rules?: CreateRules,
  ): Promise<ContainerCreateResponse>;
  /** Only in Fathom: the launch plan of such a container in words. Nothing is created. */
  explain(
    name: string | undefined,
    platform: Platform | undefined,
    body: ContainerCreateRequest,
  ): Promise<{ Text: string }>;
  inspect(container: string, size: boolean): Promise<ContainerInspect>;
  /** @throws not-modified when it runs already. */
  start(container: string, detachKeys: string | undefined): Promise<void>;
  /**
   * Continues when the client hangs up.
   * @throws not-modified when it does not run
   */
  stop(container: string, options: StopRequest): Promise<void>;
  /** As `stop`, and then a start. A container that does not run is only started. */
  restart(container: string, options: StopRequest): Promise<void>;
  kill(container: string, signalName: string | undefined): Promise<void>;
  /** Resolves at once when the wait is registered (the server then sends headers); the result comes later. */
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
  /** What it uses. A container that does not run uses nothing. The iterable ends with `signal` and with the container. */
  stats(container: string, request: StatsRequest, signal: AbortSignal): Promise<AsyncIterable<ContainerStatsResponse>>;
  changes(container: string): Promise<FilesystemChange[]>;
  attach(container: string, request: AttachRequest, signal: AbortSignal): Promise<AttachResult>;
  /** `tty`: the bytes are raw (true) or multiplexed frames (false). */
  logs(
    container: string,
    request: LogsRequest,
    signal: AbortSignal,
  ): Promise<{ readonly tty: boolean; readonly stream: AsyncIterable<Uint8Array> }>;
  prune(filters: Filters): Promise<PruneReport>;
  /** Stat of a path, for the X-Docker-Container-Path-Stat header. */
  archiveStat(container: string, path: string, signal: AbortSignal): Promise<PathStat>;
  archiveGet(
    container: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{
    stat: PathStat;
    tar: AsyncIterable<Uint8Array>;
  }>;
  /** Unpacks an archive, maybe compressed, in a directory of the container. What was written before an error or an abort stays. */
  archivePut(container: string, request: ArchivePutRequest, signal: AbortSignal): Promise<void>;
  export(container: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  commit(request: CommitRequest, signal: AbortSignal): Promise<{ Id: string }>;
}

export interface ExecBackend {
  create(container: string, body: ExecCreateRequest): Promise<{ Id: string }>;
  inspect(id: string): Promise<ExecInspect>;
  /** Starts it; with `detach` the stream is undefined. */
  start(id: string, options: ExecStartOptions, signal: AbortSignal): Promise<StreamAttachment | undefined>;
  resize(id: string, rows: number, columns: number): Promise<void>;
}

/**
 * What an engine that stores layers (Docker's overlay2) supports of the parameters: it shows no manifests of indexes, and names and digests are
 * always shown.
 */
export interface ImageListRequest {
  readonly all: boolean;
  readonly sharedSize: boolean;
  readonly filters: Filters;
}

export interface ImagePullRequest {
  readonly fromImage: string;
  readonly tag: string | undefined;
  readonly platform: string | undefined;
  readonly auth: RegistryAuth | undefined;
}

export interface ImagePushRequest {
  readonly name: string;
  readonly tag: string | undefined;
  readonly auth: RegistryAuth | undefined;
  readonly platform: string | undefined;
}

export interface ImageImportRequest {
  readonly source: AsyncIterable<Uint8Array>;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  readonly message: string | undefined;
  /** Dockerfile instructions that change the image's configuration. */
  readonly changes: readonly string[];
  readonly platform: string | undefined;
}

export interface ImageBackend {
  list(request: ImageListRequest): Promise<ImageSummary[]>;
  inspect(name: string, platform: Platform | undefined): Promise<ImageInspect>;
  history(name: string, platform: Platform | undefined): Promise<HistoryItem[]>;
  tag(name: string, repository: string, tag: string | undefined): Promise<void>;
  remove(name: string, options: { force: boolean; noPrune: boolean }): Promise<ImageDeleteItem[]>;
  prune(filters: Filters): Promise<PruneReport>;
  /** Messages as they come. An error before the first message becomes a status; a later error becomes an `errorDetail` line. */
  pull(request: ImagePullRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
  push(request: ImagePushRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
  load(
    body: AsyncIterable<Uint8Array>,
    options: { platform: string | undefined },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  save(names: readonly string[], platform: string | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
  import(request: ImageImportRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
}

export interface BuildImageRequest {
  /** A tar, maybe compressed. */
  readonly context: AsyncIterable<Uint8Array>;
  readonly dockerfile: string;
  readonly names: readonly string[];
  readonly target: string | undefined;
  readonly arguments: ReadonlyMap<string, string>;
  readonly labels: Readonly<Record<string, string>>;
  readonly noCache: boolean;
  readonly pull: boolean;
  readonly quiet: boolean;
  /** Says that the containers of steps were removed; they always are. */
  readonly remove: boolean;
  readonly platform: string | undefined;
  /** Members of HostConfig for the containers of RUN steps: NetworkMode, ExtraHosts, ShmSize, Memory … */
  readonly hostConfig: Readonly<Record<string, unknown>>;
  /** Credentials by the registry's name. */
  readonly registries: Readonly<Record<string, RegistryAuth>>;
  /** For `cancel`. */
  readonly id: string | undefined;
  /** A URL to build from. */
  readonly remote: string | undefined;
  readonly squash: boolean;
  /** "2": BuildKit's protocol. */
  readonly version: string | undefined;
}

export interface BuildBackend {
  /** An abort, and a failure, leave nothing but finished steps in the cache. An error before the first message becomes a status. */
  build(request: BuildImageRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
  /** The running build with this id. It is no error when there is none. */
  cancel(id: string): Promise<void>;
  prune(request: {
    readonly all: boolean;
    readonly filters: Filters;
    readonly keepBytes: number;
  }): Promise<BuildPruneReport>;
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
  inspect(name: string, options: { scope: string | undefined }): Promise<NetworkInspect>;
  create(body: NetworkCreateRequest): Promise<NetworkCreateResponse>;
  remove(name: string): Promise<void>;
  prune(filters: Filters): Promise<NetworkPruneReport>;
  /** Of a container that does not run, only the settings change. */
  connect(name: string, body: NetworkConnectRequest): Promise<void>;
  disconnect(name: string, body: NetworkDisconnectRequest): Promise<void>;
}

export interface Backend {
  readonly system: SystemBackend;
  readonly containers: ContainerBackend;
  readonly execs: ExecBackend;
  readonly images: ImageBackend;
  readonly builds: BuildBackend;
  readonly volumes: VolumeBackend;
  readonly networks: NetworkBackend;
}
