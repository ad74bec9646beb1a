/**
 * The engine as servers ask it, an area each. A server parses HTTP, checks bodies with the decoders of `@fathom/spec`, adapts answers to the negotiated version and
 * frames streams; everything that means something happens behind this interface. Methods take and give Docker's own JSON shapes (newest version), so that there is one
 * vocabulary from the wire to the database. Every implementation and every fake runs the suites in `testing/suites/`.
 *
 * Errors: EngineError; the server maps its codes to statuses. Messages are what the user sees, in Docker's words where clients match.
 * Names: `container` arguments are what the user typed: name, id or unique id prefix.
 * Abort: calls that can last take the request's signal; it fires when the client hangs up. The method says what abort leaves.
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
  PathStat,
  Platform,
  ProgressMessage,
  PruneReport,
  SystemInfo,
  SystemVersion,
  Volume,
  VolumeCreateRequest,
  VolumeListResponse,
} from "@fathom/spec";

export type { AttachResult, ExecStartOptions, LogsRequest, RemoveOptions, StreamAttachment, WaitCondition };

export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress?: string;
}

export interface AttachRequest extends StreamSelection {
  /** "ctrl-p,ctrl-q". */
  readonly detachKeys: string | undefined;
}

export interface ContainerListRequest {
  readonly all: boolean;
  readonly limit: number | undefined;
  readonly size: boolean;
  readonly filters: Filters;
}

export interface StopRequest {
  readonly signal: string | undefined;
  /** Undefined: the container's own; negative: without limit. */
  readonly timeoutSeconds: number | undefined;
}

export interface EventQuery {
  /** Nanoseconds since the epoch. Without it only live events are given. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  readonly filters: Filters;
}

export interface SystemBackend {
  version(): SystemVersion;
  info(): Promise<SystemInfo>;
  diskUsage(types: readonly string[]): Promise<DiskUsage>;
  /**
   * Past events since `since`, then live ones until `until` or abort. Listens from this call on, not from the first event that is asked for.
   * @throws invalid-argument at once, for an unknown filter: the server has not answered yet
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
  ): Promise<ContainerCreateResponse>;
  /** Fathom's own: the launch plan of such a container in words. Nothing stays. */
  explain(body: ContainerCreateRequest): Promise<{ Text: string }>;
  inspect(container: string, size: boolean): Promise<ContainerInspect>;
  /** @throws not-modified when it runs already. */
  start(container: string, detachKeys: string | undefined): Promise<void>;
  /**
   * Goes on when the client hangs up.
   * @throws not-modified when it does not run
   */
  stop(container: string, options: StopRequest): Promise<void>;
  /** As `stop`; a container that does not run is started. */
  restart(container: string, options: StopRequest): Promise<void>;
  kill(container: string, signalName: string | undefined): Promise<void>;
  /** Resolves the registration at once (headers are sent then), the result later. */
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
  /** `tty` tells whether the bytes are multiplexed frames (false) or raw (true). */
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
  export(container: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  commit(request: CommitRequest): Promise<{ Id: string }>;
}

export interface ExecBackend {
  create(container: string, body: ExecCreateRequest): Promise<{ Id: string }>;
  inspect(id: string): Promise<ExecInspect>;
  /** Starts it; with `detach` the stream is undefined. */
  start(id: string, options: ExecStartOptions, signal: AbortSignal): Promise<StreamAttachment | undefined>;
  resize(id: string, rows: number, columns: number): Promise<void>;
}

export interface ImageListRequest {
  readonly all: boolean;
  readonly digests: boolean;
  readonly sharedSize: boolean;
  readonly filters: Filters;
  readonly manifests: boolean;
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
  /** Dockerfile instructions for the image's configuration. */
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
  /** Messages as they come; an error thrown before the first message becomes a status, later ones an `errorDetail` line. */
  pull(request: ImagePullRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
  push(request: ImagePushRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
  load(
    body: AsyncIterable<Uint8Array>,
    options: { quiet: boolean; platform: string | undefined },
    signal: AbortSignal,
  ): AsyncIterable<ProgressMessage>;
  save(names: readonly string[], platform: string | undefined, signal: AbortSignal): AsyncIterable<Uint8Array>;
  import(request: ImageImportRequest, signal: AbortSignal): AsyncIterable<ProgressMessage>;
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

export interface Backend {
  readonly system: SystemBackend;
  readonly containers: ContainerBackend;
  readonly execs: ExecBackend;
  readonly images: ImageBackend;
  readonly volumes: VolumeBackend;
  readonly networks: NetworkBackend;
}
