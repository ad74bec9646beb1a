/** docker version and info: facts about this engine and this machine. */
import { environmentProxy } from "@fathom/distribution";
import { hostText } from "@fathom/sys";
import { readdirSync } from "node:fs";
import { cpus, hostname, release } from "node:os";
import { apiVersion, formatRfc3339Nano, minimumApiVersion } from "@fathom/base";
import { parseAddressPrefix, type SystemInfo, type SystemVersion } from "@fathom/spec";
import { defaultRuntime, runtimes } from "../containers/create/host-config.ts";
import type { EngineContext } from "../context.ts";
import { logDrivers } from "../containers/logging/driver-options.ts";

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

/** Nobody may see a proxy's credentials. */
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
      Network: [...engine.networks.drivers],
      Authorization: null,
      Log: logDrivers.filter((name) => name !== "none"),
    },
    MemoryLimit: support.memory,
    SwapLimit: support.memorySwap,
    CpuCfsPeriod: support.cpuQuota,
    CpuCfsQuota: support.cpuQuota,
    CPUShares: support.cpuShares,
    CPUSet: support.cpuset,
    PidsLimit: support.pids,
    OomKillDisable: support.oomKillDisable,
    IPv4Forwarding: hostText("/proc/sys/net/ipv4/ip_forward")?.trim() === "1",
    Debug: config.debug,
    ...processFacts(config.debug),
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

/** Docker's clients show them of a daemon in debug mode. This runtime has threads where Go has goroutines. */
function processFacts(debug: boolean): Pick<SystemInfo, "NFd" | "NGoroutines"> {
  if (!debug) return { NFd: 0, NGoroutines: 0 };
  const threads = /^Threads:\s+(\d+)$/m.exec(hostText("/proc/self/status") ?? "")?.[1];
  return { NFd: readdirSync("/proc/self/fd").length, NGoroutines: Number(threads ?? 0) };
}

function registryConfig(engine: EngineContext): SystemInfo["RegistryConfig"] {
  const { insecureRegistries, registryMirrors } = engine.config;
  const mirrors = registryMirrors.map((mirror) => `${mirror.replace(/\/$/, "")}/`);
  const isRange = (text: string): boolean => parseAddressPrefix(text) !== undefined;
  return {
    InsecureRegistryCIDRs: ["::1/128", "127.0.0.0/8", ...insecureRegistries.filter(isRange)],
    IndexConfigs: {
      "docker.io": { Name: "docker.io", Mirrors: mirrors, Secure: true, Official: true },
      ...Object.fromEntries(
        insecureRegistries
          .filter((name) => !isRange(name))
          .map((name) => [name, { Name: name, Mirrors: [], Secure: false, Official: false }]),
      ),
    },
    Mirrors: mirrors,
  };
}

/** Bytes. */
function memoryTotal(): number {
  return Number(/^MemTotal:\s+(\d+) kB/m.exec(hostText("/proc/meminfo") ?? "")?.[1] ?? 0) * 1024;
}

function osRelease(): { name: string; version: string } {
  const text = (hostText("/etc/os-release") || hostText("/usr/lib/os-release")) ?? "";
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
