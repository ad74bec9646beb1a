/** What a daemon reports about itself, for tests. */
import { EngineError } from "@fathom/base";
import type { EventQuery, RegistryAuth, SystemBackend } from "@fathom/engine";
import { diskUsageTypes, type DiskUsage, type EventMessage, type SystemInfo, type SystemVersion } from "@fathom/spec";
import { formatVersion, maximumVersion, minimumVersion } from "../../request/versions.ts";
import type { FakeContainers } from "./fake-containers.ts";
import type { FakeEvents } from "./fake-events.ts";

/** The objects that it counts, and the source of its events. */
interface Sources {
  readonly containers: FakeContainers;
  readonly events: FakeEvents;
}

export class FakeSystem implements SystemBackend {
  readonly #sources: Sources;

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  version(): SystemVersion {
    return version;
  }

  async info(): Promise<SystemInfo> {
    const containers = this.#sources.containers.all();
    const running = containers.filter((container) => container.running).length;
    const count = {
      Containers: containers.length,
      ContainersRunning: running,
      ContainersStopped: containers.length - running,
    };
    return { ...info, ...count };
  }

  async diskUsage(types: readonly string[]): Promise<DiskUsage> {
    for (const type of types)
      if (!(diskUsageTypes as readonly string[]).includes(type))
        throw new EngineError("invalid-argument", `unknown object type: ${type}`);
    const wants = (type: string): boolean => types.length === 0 || types.includes(type);
    const none = { ActiveCount: 0, TotalCount: 0, TotalSize: 0, Reclaimable: 0, Items: [] };
    const Items = this.#sources.containers.all().map((container) => container.summary());
    const active = Items.filter(({ State }) => State === "running").length;
    return {
      ...(wants("image") ? { ImageUsage: none } : {}),
      ...(wants("container")
        ? { ContainerUsage: { ...none, ActiveCount: active, TotalCount: Items.length, Items } }
        : {}),
      ...(wants("volume") ? { VolumeUsage: none } : {}),
      ...(wants("build-cache") ? { BuildCacheUsage: none } : {}),
    };
  }

  events(query: EventQuery, signal: AbortSignal): AsyncIterable<EventMessage> {
    return this.#sources.events.subscribe(query, signal);
  }

  async authenticate({ username }: RegistryAuth): Promise<{ Status: string }> {
    if (username === "nobody") throw new EngineError("unauthenticated", "unauthorized: incorrect username or password");
    return { Status: "Login Succeeded" };
  }
}

const version: SystemVersion = {
  Platform: { Name: "Fathom" },
  Version: "0.0.0-fake",
  ApiVersion: formatVersion(maximumVersion),
  MinAPIVersion: formatVersion(minimumVersion),
  Os: "linux",
  Arch: "amd64",
  Components: [{ Name: "Engine", Version: "0.0.0-fake", Details: {} }],
  GitCommit: "",
  GoVersion: "",
  KernelVersion: "6",
  BuildTime: "",
};

const info: SystemInfo = {
  ID: "fake",
  Containers: 0,
  ContainersRunning: 0,
  ContainersPaused: 0,
  ContainersStopped: 0,
  Images: 0,
  Driver: "overlay2",
  DriverStatus: [],
  Plugins: { Volume: [], Network: [], Authorization: null, Log: [] },
  MemoryLimit: true,
  SwapLimit: true,
  CpuCfsPeriod: true,
  CpuCfsQuota: true,
  CPUShares: true,
  CPUSet: true,
  PidsLimit: true,
  IPv4Forwarding: true,
  Debug: false,
  NFd: 0,
  OomKillDisable: false,
  NGoroutines: 0,
  SystemTime: "2026-01-01T00:00:00Z",
  LoggingDriver: "json-file",
  CgroupDriver: "cgroupfs",
  NEventsListener: 0,
  KernelVersion: "6",
  OperatingSystem: "",
  OSVersion: "",
  OSType: "linux",
  Architecture: "x86_64",
  IndexServerAddress: "",
  RegistryConfig: { InsecureRegistryCIDRs: [], IndexConfigs: {}, Mirrors: null },
  NCPU: 1,
  MemTotal: 1,
  GenericResources: null,
  DockerRootDir: "",
  HttpProxy: "",
  HttpsProxy: "",
  NoProxy: "",
  Name: "fake",
  Labels: [],
  ExperimentalBuild: false,
  ServerVersion: "0.0.0-fake",
  Runtimes: {},
  DefaultRuntime: "",
  Swarm: {
    NodeID: "",
    NodeAddr: "",
    LocalNodeState: "inactive",
    ControlAvailable: false,
    Error: "",
    RemoteManagers: null,
  },
  LiveRestoreEnabled: false,
  Isolation: "",
  InitBinary: "",
  ContainerdCommit: { ID: "a" },
  RuncCommit: { ID: "b" },
  InitCommit: { ID: "c" },
  SecurityOptions: [],
  FirewallBackend: { Driver: "nftables" },
  CDISpecDirs: [],
  Warnings: null,
};
