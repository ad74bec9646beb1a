/** The daemon itself: version, info, events, disk usage. */
import type { StringMap } from "./container-config.ts";
import type { ContainerSummary } from "./container.ts";
import type { ImageSummary } from "./image.ts";
import type { Volume } from "./volume.ts";

export interface ComponentVersion {
  readonly Name: string;
  readonly Version: string;
  readonly Details?: StringMap;
}

export interface SystemVersion {
  readonly Platform: { readonly Name: string };
  readonly Version: string;
  readonly ApiVersion: string;
  readonly MinAPIVersion: string;
  readonly Os: string;
  /** Go's name: "amd64". */
  readonly Arch: string;
  readonly Components: readonly ComponentVersion[];
  readonly GitCommit: string;
  /** Clients print it. Ours names Fathom's own runtime. */
  readonly GoVersion: string;
  readonly KernelVersion: string;
  readonly Experimental?: boolean;
  readonly BuildTime: string;
}

export interface Commit {
  readonly ID: string;
}

export interface RegistryIndex {
  readonly Name: string;
  readonly Mirrors: readonly string[];
  readonly Secure: boolean;
  readonly Official: boolean;
}

export interface SystemInfo {
  readonly ID: string;
  readonly Containers: number;
  readonly ContainersRunning: number;
  readonly ContainersPaused: number;
  readonly ContainersStopped: number;
  readonly Images: number;
  readonly Driver: string;
  readonly DriverStatus: readonly (readonly [string, string])[];
  readonly Plugins: {
    readonly Volume: readonly string[];
    readonly Network: readonly string[];
    readonly Authorization: readonly string[] | null;
    readonly Log: readonly string[];
  };
  readonly MemoryLimit: boolean;
  readonly SwapLimit: boolean;
  readonly CpuCfsPeriod: boolean;
  readonly CpuCfsQuota: boolean;
  readonly CPUShares: boolean;
  readonly CPUSet: boolean;
  readonly PidsLimit: boolean;
  readonly IPv4Forwarding: boolean;
  readonly Debug: boolean;
  readonly NFd: number;
  readonly OomKillDisable: boolean;
  readonly NGoroutines: number;
  readonly SystemTime: string;
  readonly LoggingDriver: string;
  readonly CgroupDriver: string;
  readonly CgroupVersion?: string;
  readonly NEventsListener: number;
  readonly KernelVersion: string;
  readonly OperatingSystem: string;
  readonly OSVersion: string;
  readonly OSType: string;
  /** The kernel's name: "x86_64". */
  readonly Architecture: string;
  readonly IndexServerAddress: string;
  readonly RegistryConfig: {
    readonly InsecureRegistryCIDRs: readonly string[];
    readonly IndexConfigs: Readonly<Record<string, RegistryIndex>>;
    readonly Mirrors: readonly string[] | null;
  };
  readonly NCPU: number;
  readonly MemTotal: number;
  readonly GenericResources: null;
  readonly DockerRootDir: string;
  readonly HttpProxy: string;
  readonly HttpsProxy: string;
  readonly NoProxy: string;
  readonly Name: string;
  readonly Labels: readonly string[];
  readonly ExperimentalBuild: boolean;
  readonly ServerVersion: string;
  readonly Runtimes: Readonly<Record<string, { readonly path: string; readonly runtimeArgs?: readonly string[] }>>;
  readonly DefaultRuntime: string;
  readonly Swarm: {
    readonly NodeID: string;
    readonly NodeAddr: string;
    readonly LocalNodeState: string;
    readonly ControlAvailable: boolean;
    readonly Error: string;
    readonly RemoteManagers: null;
  };
  readonly LiveRestoreEnabled: boolean;
  readonly Isolation: string;
  readonly InitBinary: string;
  readonly ContainerdCommit: Commit;
  readonly RuncCommit: Commit;
  readonly InitCommit: Commit;
  readonly SecurityOptions: readonly string[];
  readonly ProductLicense?: string;
  readonly DefaultAddressPools?: readonly { readonly Base: string; readonly Size: number }[];
  readonly FirewallBackend?: { readonly Driver: string; readonly Info?: readonly (readonly [string, string])[] };
  readonly CDISpecDirs: readonly string[];
  readonly Warnings: readonly string[] | null;
}

export interface EventMessage {
  /** The first three fields are printed for containers and images, for clients of API 1.21 and older. */
  readonly status?: string;
  readonly id?: string;
  readonly from?: string;
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: StringMap };
  readonly scope: string;
  /** Unix seconds. */
  readonly time: number;
  /** Unix nanoseconds, exact: too large for a number. The JSON has it as a number. */
  readonly timeNano: bigint;
}

export interface UsageOf<Item> {
  readonly ActiveCount: number;
  readonly TotalCount: number;
  /** Bytes. */
  readonly TotalSize: number;
  readonly Reclaimable: number;
  readonly Items: readonly Item[];
}

/**
 * The form of API 1.52, always with the items. When the client did not ask for the items, the server drops them, and for older clients it makes
 * the old form. A part that the client did not ask for is absent. TotalSize of images is the size of all layers; each layer counts once.
 */
export interface DiskUsage {
  readonly ImageUsage?: UsageOf<ImageSummary>;
  readonly ContainerUsage?: UsageOf<ContainerSummary>;
  readonly VolumeUsage?: UsageOf<Volume>;
  readonly BuildCacheUsage?: UsageOf<object>;
}

export interface BuildPruneReport {
  readonly CachesDeleted: readonly string[] | null;
  readonly SpaceReclaimed: number;
}

export const diskUsageTypes = ["container", "image", "volume", "build-cache"] as const;
export type DiskUsageType = (typeof diskUsageTypes)[number];
