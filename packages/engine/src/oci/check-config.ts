/** Checks of a new container's configuration, and of changed limits, in the words of dockerd. */
import { isIP } from "node:net";
import { EngineError } from "@fathom/base";
import type { ContainerConfig, ContainerCreateRequest, HealthConfig, HostConfig } from "@fathom/spec";
import { runtimes } from "../containers/create/host-config.ts";
import { normalizeCapabilities } from "./security/capabilities.ts";
import { checkResources } from "./check-resources.ts";
import { parseDeviceCgroupRule } from "./devices.ts";
import type { HostFacts } from "./host-facts.ts";
import { parseSecurityOptions } from "./security/security-options.ts";

/** The limit of utsname. */
const longestHostname = 64;
/** Bytes. Together with the mount point, the container's id and a file's name the path must stay below 4096. */
const longestCgroupParent = 2048;
/**
 * Entries of lists. Each entry is a step of the start or, for volumes, a commit. The limit is far above what anybody needs. The kernel also
 * limits arguments and environment. An image gives some of the entries too.
 */
const longestLists = { words: 65_536, steps: 2048, volumes: 1024 } as const;
/** Nanoseconds: 1 ms. */
const shortestHealthDuration = 1_000_000;

function refuse(message: string): never {
  throw new EngineError("invalid-argument", message);
}

/**
 * `request` is absent for an update, which checks only the limits. Returns warnings.
 * @throws invalid-argument, not-implemented
 */
export function checkConfig(
  config: ContainerConfig,
  hostConfig: HostConfig,
  request: ContainerCreateRequest | undefined,
  host: HostFacts,
): string[] {
  if (request !== undefined) checkLengths(config, hostConfig);
  const warnings = checkResources(hostConfig, host, request === undefined);
  if (request === undefined) return warnings;
  checkContainer(config);
  checkCapabilities(hostConfig, host);
  for (const key of Object.keys(hostConfig.Annotations ?? {}))
    if (key === "") refuse("invalid Annotations: the empty string is not permitted as an annotation key");
  checkModes(hostConfig);
  for (const entry of hostConfig.ExtraHosts ?? []) checkExtraHost(entry);
  if (hostConfig.Runtime && !Object.hasOwn(runtimes, hostConfig.Runtime))
    refuse(`unknown or invalid runtime name: ${hostConfig.Runtime}`);
  parseSecurityOptions(hostConfig.SecurityOpt ?? [], false);
  if (hostConfig.ShmSize < 0) refuse("SHM size can not be less than 0");
  if (hostConfig.OomScoreAdj < -1000 || hostConfig.OomScoreAdj > 1000)
    refuse(`Invalid value ${hostConfig.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  for (const rule of hostConfig.DeviceCgroupRules ?? []) parseDeviceCgroupRule(rule);
  for (const field of ["MaskedPaths", "ReadonlyPaths"] as const)
    for (const path of hostConfig[field] ?? [])
      if (!path.startsWith("/")) refuse(`invalid ${field}: ${JSON.stringify(path)} is not an absolute path`);
  checkCgroupParent(hostConfig.CgroupParent);
  refuseUnsupported(hostConfig);
  if (config.NetworkDisabled === true)
    throw new EngineError("not-implemented", "NetworkDisabled is not supported yet: use the network mode none");
  return [...warnings, ...networkWarnings(hostConfig, host)];
}

function checkLengths(config: ContainerConfig, hostConfig: HostConfig): void {
  const { words, steps, volumes } = longestLists;
  const check = (name: string, list: object | null | undefined, limit: number): void => {
    const length = Array.isArray(list) ? list.length : Object.keys(list ?? {}).length;
    if (length > limit) refuse(`invalid ${name}: ${length} entries, more than the limit of ${limit}`);
  };
  for (const name of ["Cmd", "Entrypoint", "Env"] as const) check(name, config[name], words);
  check("Volumes", config.Volumes, volumes);
  for (const name of ["Binds", "Mounts", "Tmpfs", "Devices", "DeviceCgroupRules"] as const)
    check(name, hostConfig[name], steps);
  for (const name of ["MaskedPaths", "ReadonlyPaths", "Sysctls", "Ulimits", "SecurityOpt"] as const)
    check(name, hostConfig[name], steps);
  check("GroupAdd", hostConfig.GroupAdd, words);
}

function checkContainer(config: ContainerConfig): void {
  if (Buffer.byteLength(config.Hostname) > longestHostname)
    refuse(`hostname ${JSON.stringify(config.Hostname)} is too long (maximum ${longestHostname} bytes)`);
  if (Buffer.byteLength(config.Domainname) > longestHostname)
    refuse(`domainname ${JSON.stringify(config.Domainname)} is too long (maximum ${longestHostname} bytes)`);
  if (config.WorkingDir !== "" && !config.WorkingDir.startsWith("/"))
    refuse(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  if (config.Healthcheck) checkHealth(config.Healthcheck);
}

function checkHealth(health: HealthConfig): void {
  for (const name of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const) {
    const value = health[name] ?? 0;
    if (value !== 0 && value < shortestHealthDuration) refuse(`${name} in Healthcheck cannot be less than 1ms`);
  }
  if ((health.Retries ?? 0) < 0) refuse("Retries in Healthcheck cannot be negative");
}

/** A path below the cgroup file systems. It may not lead out of them, and its names must be valid for the file system. */
function checkCgroupParent(parent: string): void {
  const parts = parent.split("/");
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(parent) || parts.includes(".."))
    refuse(`invalid cgroup parent ${JSON.stringify(parent)}: it has control characters or ".." in it`);
  if (Buffer.byteLength(parent) > longestCgroupParent || parts.some((part) => Buffer.byteLength(part) > 255))
    refuse(`invalid cgroup parent ${JSON.stringify(parent.slice(0, 64))}…: the name is too long`);
}

function checkCapabilities(hostConfig: HostConfig, host: HostFacts): void {
  for (const field of ["CapAdd", "CapDrop"] as const) {
    try {
      normalizeCapabilities(hostConfig[field] ?? [], host.capabilities);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw new EngineError(error.code, `invalid ${field}: ${error.message}`, { cause: error });
    }
  }
}

function checkModes(hostConfig: HostConfig): void {
  const { IpcMode, PidMode, UTSMode, CgroupnsMode, UsernsMode, Isolation } = hostConfig;
  const container = /^container:./;
  if (!["", "none", "private", "shareable", "host"].includes(IpcMode) && !container.test(IpcMode))
    refuse(`invalid IPC mode: ${IpcMode}`);
  if (!["", "host"].includes(PidMode) && !container.test(PidMode)) refuse(`invalid PID mode: ${PidMode}`);
  if (!["", "host"].includes(UTSMode)) refuse(`invalid UTS mode: ${UTSMode}`);
  if (!["", "host", "private"].includes(CgroupnsMode)) refuse(`invalid cgroup namespace mode: ${CgroupnsMode}`);
  if (!["", "host"].includes(UsernsMode)) refuse(`invalid USER mode: ${UsernsMode}`);
  if (!["", "default"].includes(Isolation)) refuse(`invalid isolation (${Isolation}): linux only supports 'default'`);
}

/** "NAME:ADDRESS"; the address may be the word host-gateway. */
function checkExtraHost(entry: string): void {
  const colon = entry.indexOf(":");
  if (colon <= 0) refuse(`bad format for add-host: ${JSON.stringify(entry)}`);
  const address = entry.slice(colon + 1);
  if (address !== "host-gateway" && isIP(address.replace(/^\[(.*)\]$/, "$1")) === 0)
    refuse(`invalid IP address in add-host: ${JSON.stringify(address)}`);
}

function networkWarnings(hostConfig: HostConfig, host: HostFacts): string[] {
  const { NetworkMode } = hostConfig;
  const warnings: string[] = [];
  if (!host.ipv4Forwarding && NetworkMode !== "host" && NetworkMode !== "none")
    warnings.push("IPv4 forwarding is disabled. Networking will not work.");
  if (NetworkMode === "host" && Object.keys(hostConfig.PortBindings ?? {}).length > 0)
    warnings.push("Published ports are discarded when using host network mode");
  if (hostConfig.CgroupnsMode === "private" && !host.cgroupNamespaces)
    warnings.push("Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.");
  return warnings;
}

/** Fields that Fathom does not support yet. To accept and ignore them would be worse than to reject them. */
function refuseUnsupported(hostConfig: HostConfig): void {
  const lists = [
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "DeviceRequests",
  ] as const;
  const given = [
    ...lists.filter((name) => (hostConfig[name]?.length ?? 0) > 0),
    ...(["CpuRealtimePeriod", "CpuRealtimeRuntime"] as const).filter((name) => hostConfig[name] !== 0),
    ...(Object.keys(hostConfig.StorageOpt ?? {}).length > 0 ? ["StorageOpt"] : []),
  ];
  if (given.length > 0) throw new EngineError("not-implemented", `HostConfig.${given[0]} is not supported yet`);
}
