/** docker version, info and system df: what this engine and this machine are. */
import { environmentProxy } from "@fathom/distribution";
import { readFileSync } from "node:fs";
import { cpus, hostname, release } from "node:os";
import { apiVersion, EngineError, formatRfc3339Nano, isEngineError, minimumApiVersion } from "@fathom/base";
import {
  diskUsageTypes,
  type ContainerSummary,
  type DiskUsage,
  type DiskUsageType,
  type Filters,
  type ImageSummary,
  type SystemInfo,
  type SystemVersion,
  type Volume,
  type VolumeListResponse,
} from "@fathom/spec";
import { defaultRuntime, runtimes } from "../containers/host-config.ts";
import { newestFirst, summariseAll } from "../containers/list.ts";
import type { Container } from "@fathom/containers";
import type { EngineContext } from "../context.ts";
import { logDrivers } from "../containers/log-config.ts";

/** Go's names of machines. */
const architectures: Readonly<Record<string, { go: string; kernel: string }>> = {
  x64: { go: "amd64", kernel: "x86_64" },
  arm64: { go: "arm64", kernel: "aarch64" },
};
const machine = architectures[process.arch] ?? { go: process.arch, kernel: process.arch };

export function version(engine: EngineContext): SystemVersion {
  const { config } = engine;
  const bun = `bun${process.versions["bun"] ?? ""}`;
  return {
    Platform: { Name: "Fathom" },
    Components: [
      {
        Name: "Engine",
        Version: config.version,
        Details: {
          ApiVersion: apiVersion,
          Arch: machine.go,
          BuildTime: config.buildTime,
          Experimental: String(config.experimental),
          GitCommit: config.gitCommit,
          GoVersion: bun,
          KernelVersion: release(),
          MinAPIVersion: minimumApiVersion,
          Os: "linux",
        },
      },
    ],
    Version: config.version,
    ApiVersion: apiVersion,
    MinAPIVersion: minimumApiVersion,
    GitCommit: config.gitCommit,
    GoVersion: bun,
    Os: "linux",
    Arch: machine.go,
    KernelVersion: release(),
    BuildTime: config.buildTime,
    ...(config.experimental ? { Experimental: true } : {}),
  };
}

export interface SystemSources {
  imageList(request: {
    all: boolean;
    digests: boolean;
    sharedSize: boolean;
    filters: Filters;
    manifests: boolean;
  }): Promise<ImageSummary[]>;
  volumeList(filters: Filters): Promise<VolumeListResponse>;
  volumeUsage(name: string): Promise<number>;
}

/** A proxy's credentials are nobody's to see. */
export function maskedProxy(text: string | undefined): string {
  return (text ?? "").replace(/^([a-z][a-z0-9+.-]*:\/\/)?[^/?#]*@/i, "$1xxxxx:xxxxx@");
}

export async function info(engine: EngineContext, engineId: string): Promise<SystemInfo> {
  const { config, cgroups } = engine;
  const { support } = cgroups;
  const proxy = config.proxy ?? environmentProxy();
  const containers = engine.containers.list();
  const running = containers.filter((container) => container.process !== undefined && !container.paused).length;
  const paused = containers.filter((container) => container.paused).length;
  const os = osRelease();
  return {
    ID: engineId,
    Containers: containers.length,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: containers.length - running - paused,
    Images: engine.store.images.list().length,
    Driver: "overlay2",
    DriverStatus: [
      ["Backing Filesystem", fileSystemName(engine)],
      ["Supports d_type", "true"],
      ["Using metacopy", "false"],
      ["Native Overlay Diff", "true"],
      ["userxattr", "false"],
    ],
    Plugins: {
      Volume: ["local"],
      Network: ["bridge", "host", "null"],
      Authorization: null,
      Log: [...logDrivers],
    },
    MemoryLimit: support.memory,
    SwapLimit: support.memorySwap,
    CpuCfsPeriod: support.cpuQuota,
    CpuCfsQuota: support.cpuQuota,
    CPUShares: support.cpuShares,
    CPUSet: support.cpuset,
    PidsLimit: support.pids,
    OomKillDisable: support.oomKillDisable,
    IPv4Forwarding: readText("/proc/sys/net/ipv4/ip_forward").trim() === "1",
    Debug: config.debug,
    NFd: 0,
    NGoroutines: 0,
    SystemTime: formatRfc3339Nano(engine.clock.nowNs()),
    LoggingDriver: config.logDriver,
    CgroupDriver: cgroups.driver,
    CgroupVersion: cgroups.version === "v2" ? "2" : "1",
    NEventsListener: engine.events.listenerCount,
    KernelVersion: release(),
    OperatingSystem: os.name,
    OSVersion: os.version,
    OSType: "linux",
    Architecture: machine.kernel,
    IndexServerAddress: "https://index.docker.io/v1/",
    RegistryConfig: registryConfig(engine),
    NCPU: cpus().length,
    MemTotal: memoryTotal(),
    GenericResources: null,
    DockerRootDir: config.dataRoot,
    HttpProxy: maskedProxy(proxy.http),
    HttpsProxy: maskedProxy(proxy.https),
    NoProxy: proxy.no ?? "",
    Name: hostname(),
    Labels: config.labels,
    ExperimentalBuild: config.experimental,
    ServerVersion: config.version,
    Runtimes: runtimes,
    DefaultRuntime: defaultRuntime,
    Swarm: {
      NodeID: "",
      NodeAddr: "",
      LocalNodeState: "inactive",
      ControlAvailable: false,
      Error: "",
      RemoteManagers: null,
    },
    LiveRestoreEnabled: config.liveRestore,
    Isolation: "",
    InitBinary: "fathom-init",
    ContainerdCommit: { ID: "" },
    RuncCommit: { ID: "" },
    InitCommit: { ID: config.gitCommit },
    SecurityOptions: [`name=seccomp,profile=${config.seccompProfile === "" ? "builtin" : config.seccompProfile}`],
    FirewallBackend: { Driver: "nftables" },
    CDISpecDirs: [],
    Warnings: null,
  };
}

function registryConfig(engine: EngineContext): SystemInfo["RegistryConfig"] {
  const { insecureRegistries, registryMirrors } = engine.config;
  const isCidr = (text: string): boolean => /\/\d+$/.test(text);
  return {
    InsecureRegistryCIDRs: ["::1/128", "127.0.0.0/8", ...insecureRegistries.filter(isCidr)],
    IndexConfigs: {
      "docker.io": { Name: "docker.io", Mirrors: registryMirrors, Secure: true, Official: true },
      ...Object.fromEntries(
        insecureRegistries
          .filter((name) => !isCidr(name))
          .map((name) => [name, { Name: name, Mirrors: [], Secure: false, Official: false }]),
      ),
    },
    Mirrors: registryMirrors,
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Bytes. */
function memoryTotal(): number {
  return Number(/^MemTotal:\s+(\d+) kB/m.exec(readText("/proc/meminfo"))?.[1] ?? 0) * 1024;
}

function osRelease(): { name: string; version: string } {
  const text = readText("/etc/os-release") || readText("/usr/lib/os-release");
  const value = (key: string): string => new RegExp(`^${key}="?([^"\\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  return { name: value("PRETTY_NAME") || "Linux", version: value("VERSION_ID") };
}

/** Magic numbers of statfs(2). */
const fileSystems: Readonly<Record<string, string>> = {
  ef53: "extfs",
  "58465342": "xfs",
  "9123683e": "btrfs",
  "1021994": "tmpfs",
  "794c7630": "overlayfs",
  "2fc12fc1": "zfs",
  f2f52010: "f2fs",
};

function fileSystemName(engine: EngineContext): string {
  try {
    const { type } = engine.sys.statfs(engine.config.dataRoot);
    return fileSystems[(type & 0xffff_ffffn).toString(16)] ?? "unknown";
  } catch {
    return "unknown";
  }
}

export async function diskUsage(
  engine: EngineContext,
  sources: SystemSources,
  types: readonly string[],
): Promise<DiskUsage> {
  for (const type of types)
    if (!(diskUsageTypes as readonly string[]).includes(type))
      throw new EngineError("invalid-argument", `unknown object type: ${type}`);
  const wants = (type: DiskUsageType): boolean => types.length === 0 || types.includes(type);
  return {
    ...(wants("image") ? { ImageUsage: await imageUsage(engine, sources) } : {}),
    ...(wants("container") ? { ContainerUsage: await containerUsage(engine) } : {}),
    ...(wants("volume") ? { VolumeUsage: await volumeUsage(engine, sources) } : {}),
    ...(wants("build-cache")
      ? { BuildCacheUsage: { ActiveCount: 0, TotalCount: 0, TotalSize: 0, Reclaimable: 0, Items: [] } }
      : {}),
  };
}

async function imageUsage(
  engine: EngineContext,
  sources: SystemSources,
): Promise<NonNullable<DiskUsage["ImageUsage"]>> {
  const list = await sources.imageList({ all: false, digests: false, sharedSize: true, filters: {}, manifests: false });
  const used = new Map<string, number>();
  for (const { record } of engine.containers.list()) used.set(record.imageId, (used.get(record.imageId) ?? 0) + 1);
  const Items = list.map((image) => ({ ...image, Containers: used.get(image.Id) ?? 0 }));
  const total = engine.store.layers.list().reduce((sum, layer) => sum + layer.size, 0);
  // Of an image in use nothing can be reclaimed; layers that others share count with it.
  const inUse = Items.filter((image) => image.Containers > 0).reduce((sum, image) => sum + image.Size, 0);
  return {
    ActiveCount: Items.filter((image) => image.Containers > 0).length,
    TotalCount: Items.length,
    TotalSize: total,
    Reclaimable: Math.max(0, total - inUse),
    Items,
  };
}

async function containerUsage(engine: EngineContext): Promise<NonNullable<DiskUsage["ContainerUsage"]>> {
  const containers = newestFirst(engine.containers.list());
  const Items = await summariseAll(engine, containers, true);
  const size = (list: readonly ContainerSummary[]): number => list.reduce((sum, item) => sum + (item.SizeRw ?? 0), 0);
  const active = (item: ContainerSummary): boolean => ["running", "paused", "restarting"].includes(item.State);
  return {
    ActiveCount: Items.filter(active).length,
    TotalCount: Items.length,
    TotalSize: size(Items),
    Reclaimable: size(Items.filter((item) => !active(item))),
    Items,
  };
}

async function volumeUsage(
  engine: EngineContext,
  sources: SystemSources,
): Promise<NonNullable<DiskUsage["VolumeUsage"]>> {
  const Items = await volumesWithUsage(engine, sources);
  const size = (list: readonly Volume[]): number =>
    list.reduce((sum, item) => sum + Math.max(0, item.UsageData?.Size ?? 0), 0);
  const active = (item: Volume): boolean => (item.UsageData?.RefCount ?? 0) > 0;
  return {
    ActiveCount: Items.filter(active).length,
    TotalCount: Items.length,
    TotalSize: size(Items),
    Reclaimable: size(Items.filter((item) => !active(item))),
    Items,
  };
}

/** Of each volume how many containers have it. */
export function volumesInUse(containers: readonly Container[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { record } of containers)
    for (const name of new Set(record.mounts.map((mount) => mount.name)))
      if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

async function volumesWithUsage(engine: EngineContext, sources: SystemSources): Promise<readonly Volume[]> {
  const { Volumes } = await sources.volumeList({});
  const inUse = volumesInUse(engine.containers.list());
  return Promise.all(
    Volumes.map(async (volume) => ({
      ...volume,
      UsageData: {
        RefCount: inUse.get(volume.Name) ?? 0,
        Size: await volumeSize(engine, sources, volume.Name),
      },
    })),
  );
}

/** As with dockerd, -1 where it cannot be known. */
async function volumeSize(engine: EngineContext, sources: SystemSources, name: string): Promise<number> {
  try {
    return await sources.volumeUsage(name);
  } catch (error) {
    if (!isEngineError(error, "timeout")) throw error;
    engine.logger.warn("the size of a volume is not known", { volume: name, error: error.message });
    return -1;
  }
}
