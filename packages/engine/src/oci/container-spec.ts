/**
 * Makes the OCI configuration that the runtime compiles from a container's record. A pure function: the machine is given as facts, the user as
 * numbers.
 */
import {
  type ContainerConfig,
  type HostConfig,
  type LinuxNamespace,
  type OciProcess,
  type OciRlimit,
  type OciSpec,
  ociVersion,
  type LinuxSeccomp,
  type Ulimit,
} from "@fathom/spec";
import { EngineError } from "@fathom/base";
import type { JoinedNamespaces, MountPoint } from "@fathom/containers";
import { effectiveCapabilities } from "./security/capabilities.ts";
import { parseDeviceCgroupRule, type DeviceSet } from "./devices.ts";
import { containerEnvironment } from "./environment.ts";
import type { HostFacts } from "./host-facts.ts";
import { containerMounts, type MountInput } from "./mounts.ts";
import { maskedPaths, readonlyPaths } from "./paths.ts";
import { ociResources } from "./resources.ts";
import { customSeccomp, defaultSeccomp } from "./security/seccomp-profile.ts";
import { parseSecurityOptions, type SecurityOptions } from "./security/security-options.ts";
import type { ContainerUser } from "./user/user.ts";

export interface ContainerSpecInput {
  readonly id: string;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly mounts: readonly MountPoint[];
  readonly cgroupPath: string;
  readonly user: ContainerUser;
  readonly namespaces: JoinedNamespaces;
  readonly files: MountInput["files"];
  readonly hostname: string;
  /** Variables that describe the containers to which it is linked. */
  readonly linkEnvironment: readonly string[];
  readonly sharedMemory: string | undefined;
  /** The devices and rules that `HostConfig.Devices` and `Privileged` mean on this machine. */
  readonly devices: DeviceSet;
}

/** The daemon's own settings. */
export interface DaemonSettings {
  readonly defaultUlimits: readonly Ulimit[];
  readonly noNewPrivileges: boolean;
  /** JSON of a profile, "unconfined", or "" for the built-in one. */
  readonly seccompProfile: string;
}

/** @throws invalid-argument in Docker's words */
export function containerSpec(input: ContainerSpecInput, daemon: DaemonSettings, host: HostFacts): OciSpec {
  const { config, hostConfig } = input;
  const { Privileged: privileged } = hostConfig;
  const security = parseSecurityOptions(hostConfig.SecurityOpt ?? [], daemon.noNewPrivileges);
  const { mounts, rootfsPropagation } = containerMounts({
    ...input,
    sharedMemory: hostConfig.IpcMode === "host" ? "/dev/shm" : input.sharedMemory,
    writableCgroups: security.writableCgroups ?? privileged,
  });
  const devices = containerDevices(hostConfig, input.devices);
  const namespaces = containerNamespaces(input, host);
  const own = (type: LinuxNamespace["type"]): boolean =>
    namespaces.some((one) => one.type === type && one.path === undefined);
  const process = containerProcess(input, daemon, security, host);
  const seccomp = seccompOf(hostConfig, security, process, daemon, host);
  return {
    ociVersion,
    root: { path: "rootfs", readonly: hostConfig.ReadonlyRootfs },
    // A joined namespace and the host's namespace have a host name already.
    ...(own("uts")
      ? { hostname: input.hostname, ...(config.Domainname === "" ? {} : { domainname: config.Domainname }) }
      : {}),
    mounts: [...mounts],
    process,
    linux: {
      namespaces,
      cgroupsPath: input.cgroupPath,
      sysctl: { ...defaultSysctls(own("network"), host), ...hostConfig.Sysctls },
      devices: devices.devices,
      resources: { ...ociResources(hostConfig, host.limits), devices: devices.rules },
      ...(rootfsPropagation === undefined ? {} : { rootfsPropagation }),
      maskedPaths: privileged ? [] : [...(hostConfig.MaskedPaths ?? maskedPaths(host))],
      readonlyPaths: privileged ? [] : [...(hostConfig.ReadonlyPaths ?? readonlyPaths)],
      ...(seccomp === undefined ? {} : { seccomp }),
    },
    ...(hostConfig.Annotations ? { annotations: { ...hostConfig.Annotations } } : {}),
  };
}

function containerProcess(
  input: ContainerSpecInput,
  daemon: DaemonSettings,
  security: SecurityOptions,
  host: HostFacts,
): OciProcess {
  const { config, hostConfig, user } = input;
  const [height, width] = hostConfig.ConsoleSize;
  return {
    terminal: config.Tty,
    ...(config.Tty && (height > 0 || width > 0) ? { consoleSize: { height, width } } : {}),
    args: [...input.command],
    env: containerEnvironment({
      hostname: input.hostname,
      terminal: config.Tty,
      links: input.linkEnvironment,
      env: config.Env ?? [],
      home: user.home,
    }),
    cwd: config.WorkingDir === "" ? "/" : config.WorkingDir,
    user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids] },
    capabilities: capabilitySets(
      effectiveCapabilities(
        { add: hostConfig.CapAdd, drop: hostConfig.CapDrop, privileged: hostConfig.Privileged },
        host.capabilities,
      ),
    ),
    rlimits: rlimits(hostConfig.Ulimits ?? [], daemon.defaultUlimits),
    oomScoreAdj: hostConfig.OomScoreAdj,
    noNewPrivileges: security.noNewPrivileges,
  };
}

/** Inheritable stays empty: a program with file capabilities must not get back capabilities that were dropped (CVE-2022-24769). */
export function capabilitySets(names: readonly string[]): NonNullable<OciProcess["capabilities"]> {
  return { bounding: [...names], effective: [...names], permitted: [...names] };
}

export function rlimits(asked: readonly Ulimit[], defaults: readonly Ulimit[]): OciRlimit[] {
  const names = new Set(asked.map(({ Name }) => Name));
  return [...asked, ...defaults.filter(({ Name }) => !names.has(Name))].map(({ Name, Soft, Hard }) => ({
    type: `RLIMIT_${Name.toUpperCase()}`,
    soft: unlimitedOr(Soft),
    hard: unlimitedOr(Hard),
  }));
}

/** -1 means no limit: RLIM_INFINITY. */
function unlimitedOr(value: number): number | bigint {
  return value < 0 ? 0xffff_ffff_ffff_ffffn : value;
}

/**
 * No time namespace, although Docker 29 makes one: no option sets anything in it, containers cannot see it, and it makes every reading of the
 * clock slower.
 */
function containerNamespaces(input: ContainerSpecInput, host: HostFacts): LinuxNamespace[] {
  const { hostConfig, namespaces: joined } = input;
  const namespaces: LinuxNamespace[] = [{ type: "mount" }];
  const add = (type: LinuxNamespace["type"], hostMode: boolean, path: string | undefined): void => {
    if (!hostMode) namespaces.push(path === undefined ? { type } : { type, path });
  };
  add("network", hostConfig.NetworkMode === "host", joined.network);
  add("uts", hostConfig.UTSMode === "host", joined.uts);
  add("pid", hostConfig.PidMode === "host", joined.pid);
  add("ipc", hostConfig.IpcMode === "host", joined.ipc);
  add("cgroup", hostConfig.CgroupnsMode !== "private" || !host.cgroupNamespaces, undefined);
  return namespaces;
}

/** Ports below 1024 and ping without a capability. Only in a network of the container's own, and only sysctls that the kernel has. */
function defaultSysctls(ownNetwork: boolean, host: HostFacts): Record<string, string> {
  if (!ownNetwork) return {};
  return {
    ...(host.pingGroupRange ? { "net.ipv4.ping_group_range": "0 2147483647" } : {}),
    ...(host.unprivilegedPortStart ? { "net.ipv4.ip_unprivileged_port_start": "0" } : {}),
  };
}

type Devices = Pick<NonNullable<OciSpec["linux"]>, "devices"> & {
  rules: NonNullable<NonNullable<NonNullable<OciSpec["linux"]>["resources"]>["devices"]>;
};

/** Docker's own rules, before those of the runtime: nodes that every container has; never /dev/fuse. */
const ownRules: Devices["rules"] = [
  { allow: false, access: "rwm" },
  ...(
    [
      [1, 5],
      [1, 3],
      [1, 9],
      [1, 8],
      [5, 0],
      [5, 1],
    ] as const
  ).map(([major, minor]) => ({ allow: true, type: "c" as const, major, minor, access: "rwm" })),
  { allow: false, type: "c", major: 10, minor: 229, access: "rwm" },
];

function containerDevices(hostConfig: HostConfig, { devices, rules }: DeviceSet): Devices {
  if (hostConfig.Privileged) return { devices: [...devices], rules: [{ allow: true, access: "rwm" }] };
  return {
    devices: [...devices],
    rules: [...ownRules, ...rules, ...(hostConfig.DeviceCgroupRules ?? []).map(parseDeviceCgroupRule)],
  };
}

/** The container's filter; undefined for no filter. */
export function seccompOf(
  hostConfig: HostConfig,
  security: SecurityOptions,
  process: OciProcess,
  daemon: DaemonSettings,
  host: HostFacts,
): LinuxSeccomp | undefined {
  const circumstances = {
    architecture: host.architecture,
    kernelRelease: host.kernelRelease,
    capabilities: process.capabilities?.bounding ?? [],
  };
  const asked = security.seccomp;
  if (asked === "unconfined" || (hostConfig.Privileged && asked === undefined)) return undefined;
  const custom = asked ?? daemon.seccompProfile;
  if (!host.seccomp) {
    if (asked === undefined || asked === "builtin") return undefined;
    throw new EngineError(
      "invalid-argument",
      "seccomp is not enabled in your kernel, cannot run a custom seccomp profile",
    );
  }
  if (custom === "unconfined") return undefined;
  if (custom === "" || custom === "builtin") return defaultSeccomp(circumstances);
  return customSeccomp(custom, circumstances);
}
