/** Containers as the API receives and prints them. */
import type { Descriptor } from "../oci/image.ts";
import type { ContainerConfig, StringMap } from "./container-config.ts";
import type { HostConfig, PortMap, Resources, RestartPolicy } from "./host-config.ts";
import type { EndpointSettings, EndpointSettingsBody } from "./network.ts";

export interface ContainerCreateRequest extends ContainerConfig {
  readonly HostConfig: HostConfig;
  readonly NetworkingConfig: { readonly EndpointsConfig: Readonly<Record<string, EndpointSettings>> };
}

/** What a client sends: every field may be missing. */
export interface ContainerCreateBody extends Partial<ContainerConfig> {
  readonly HostConfig?: Partial<HostConfig>;
  readonly NetworkingConfig?: { readonly EndpointsConfig: Readonly<Record<string, EndpointSettingsBody>> };
}

export interface ContainerCreateResponse {
  readonly Id: string;
  /** Never null, because clients of old versions iterate over it. */
  readonly Warnings: readonly string[];
}

export const containerStatuses = ["created", "running", "paused", "restarting", "removing", "exited", "dead"] as const;
export type ContainerStatus = (typeof containerStatuses)[number];

export interface HealthcheckResult {
  readonly Start: string;
  readonly End: string;
  readonly ExitCode: number;
  readonly Output: string;
}

export interface Health {
  readonly Status: "none" | "starting" | "healthy" | "unhealthy";
  readonly FailingStreak: number;
  readonly Log: readonly HealthcheckResult[] | null;
}

export interface ContainerState {
  readonly Status: ContainerStatus;
  readonly Running: boolean;
  readonly Paused: boolean;
  readonly Restarting: boolean;
  readonly OOMKilled: boolean;
  readonly Dead: boolean;
  readonly Pid: number;
  readonly ExitCode: number;
  readonly Error: string;
  /** RFC3339Nano; the zero time means never. */
  readonly StartedAt: string;
  readonly FinishedAt: string;
  readonly Health?: Health;
}

export interface MountPoint {
  readonly Type?: string;
  /** Name of a volume. */
  readonly Name?: string;
  readonly Source: string;
  readonly Destination: string;
  readonly Driver?: string;
  readonly Mode: string;
  readonly RW: boolean;
  readonly Propagation: string;
}

export interface DriverData {
  readonly Name: string;
  readonly Data: StringMap | null;
}

export interface NetworkSettings {
  readonly SandboxID: string;
  readonly SandboxKey: string;
  readonly Ports: PortMap | null;
  readonly Networks: Readonly<Record<string, EndpointSettings>>;
}

export interface ContainerInspect {
  readonly Id: string;
  readonly Created: string;
  readonly Path: string;
  readonly Args: readonly string[];
  readonly State: ContainerState;
  /** Image id. */
  readonly Image: string;
  readonly ResolvConfPath: string;
  readonly HostnamePath: string;
  readonly HostsPath: string;
  readonly LogPath: string;
  /** With the leading slash. */
  readonly Name: string;
  readonly RestartCount: number;
  readonly Driver: string;
  readonly Platform: string;
  readonly MountLabel: string;
  readonly ProcessLabel: string;
  readonly AppArmorProfile: string;
  readonly ExecIDs: readonly string[] | null;
  readonly HostConfig: HostConfig;
  readonly GraphDriver?: DriverData;
  readonly SizeRw?: number;
  readonly SizeRootFs?: number;
  readonly Mounts: readonly MountPoint[];
  readonly Config: ContainerConfig;
  readonly NetworkSettings: NetworkSettings;
  /** From API 1.48 on. */
  readonly ImageManifestDescriptor?: Descriptor;
}

export interface PortSummary {
  readonly IP?: string;
  readonly PrivatePort: number;
  readonly PublicPort?: number;
  readonly Type: string;
}

export interface ContainerSummary {
  readonly Id: string;
  /** With the leading slash. */
  readonly Names: readonly string[];
  readonly Image: string;
  readonly ImageID: string;
  readonly ImageManifestDescriptor?: Descriptor;
  readonly Command: string;
  /** Unix seconds. */
  readonly Created: number;
  readonly Ports: readonly PortSummary[];
  readonly SizeRw?: number;
  readonly SizeRootFs?: number;
  readonly Labels: StringMap;
  readonly State: ContainerStatus;
  /** "Up 2 minutes (healthy)". */
  readonly Status: string;
  readonly HostConfig: { readonly NetworkMode?: string; readonly Annotations?: StringMap };
  /** From API 1.52 on. */
  readonly Health?: { readonly Status: Health["Status"]; readonly FailingStreak: number };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, EndpointSettings>> };
  readonly Mounts: readonly MountPoint[];
}

export interface ContainerTopResponse {
  readonly Titles: readonly string[];
  readonly Processes: readonly (readonly string[])[];
}

/** Only fields that the client sent are present. An absent field means "do not change". */
export interface ContainerUpdateRequest extends Partial<Resources> {
  readonly RestartPolicy?: RestartPolicy;
}

export interface ContainerUpdateResponse {
  readonly Warnings: readonly string[] | null;
}

export interface ContainerWaitResponse {
  readonly StatusCode: number;
  readonly Error?: { readonly Message: string };
}

/** Kind: 0 modified, 1 added, 2 deleted. */
export interface FilesystemChange {
  readonly Path: string;
  readonly Kind: 0 | 1 | 2;
}

/** The query of POST /commit, with its body. */
export interface CommitRequest {
  readonly container: string;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  readonly comment: string;
  readonly author: string;
  readonly pause: boolean;
  /** Dockerfile instructions. */
  readonly changes: readonly string[];
  readonly config: ContainerConfig | undefined;
}

export interface PathStat {
  readonly name: string;
  readonly size: number;
  /** Go's os.FileMode bits, not Unix's: a directory is 1 << 31, a symlink 1 << 27. */
  readonly mode: number;
  readonly mtime: string;
  readonly linkTarget: string;
}

/** The result of all prune endpoints; each endpoint fills its own list. */
export interface PruneReport {
  readonly ContainersDeleted?: readonly string[] | null;
  readonly ImagesDeleted?: readonly { readonly Untagged?: string; readonly Deleted?: string }[] | null;
  readonly VolumesDeleted?: readonly string[] | null;
  readonly NetworksDeleted?: readonly string[] | null;
  /** Bytes. */
  readonly SpaceReclaimed: number;
}
