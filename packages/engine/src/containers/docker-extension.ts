/**
 * A container in Docker's terms: the configuration that inspect returns, which is in the container's record, and its meaning for
 * `@fathom/containers`.
 */
import { EngineError } from "@fathom/base";
import {
  type ContainerSpec,
  type NamespaceMode,
  type HealthCheck,
  type RestartPolicy,
  type ContainerRecord,
  type RecordOwner,
  parseSignal,
  SIGTERM,
} from "@fathom/containers";
import { expandPorts, type PortRequest } from "@fathom/network";
import { isObject, type ContainerConfig, type HealthConfig, type HostConfig } from "@fathom/spec";
import { parseNetworkMode } from "../networks/network-mode.ts";

export interface DockerExtension {
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** A RUN step of a build: the next start of a daemon removes it. */
  readonly buildStep?: true;
}

/** Only this engine writes it, with each record. @throws data-loss when it is something else */
export function dockerOf({ id, extension }: Pick<ContainerRecord, "id" | "extension">): DockerExtension {
  if (isDockers(extension)) return extension;
  throw new EngineError("data-loss", `the record of container ${id} has no configuration of Docker's`);
}

/** This engine decoded both parts before it stored them. */
function isDockers(extension: unknown): extension is DockerExtension {
  return isObject(extension) && isObject(extension["config"]) && isObject(extension["hostConfig"]);
}

/** All containers without special options share it: an engine may have thousands of them. */
const nothing: readonly never[] = [];
const own: NamespaceMode = { kind: "own" };
const host: NamespaceMode = { kind: "host" };
const usualDns: ContainerSpec["dns"] = { servers: nothing, search: nothing, options: nothing };
const noRestart: RestartPolicy = { kind: "no", maximumRetryCount: 0 };
const usualStop: ContainerSpec["stop"] = { signal: SIGTERM, timeoutSeconds: undefined };

const defaultHealth = { intervalNs: 30e9, timeoutNs: 30e9, startIntervalNs: 5e9, retries: 3 } as const;

/** The meaning of the configuration for the lifecycle and its steps. A pure function; the configuration was checked before. */
export function specOf({ config, hostConfig }: DockerExtension): ContainerSpec {
  return {
    terminal: config.Tty,
    consoleSize: hostConfig.ConsoleSize,
    stdin: !config.OpenStdin ? "none" : config.StdinOnce ? "once" : "open",
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    network: networkOf(hostConfig.NetworkMode ?? ""),
    pid: namespaceOf(hostConfig.PidMode),
    ipc: hostConfig.IpcMode === "shareable" ? { kind: "shareable" } : namespaceOf(hostConfig.IpcMode),
    sharedMemoryBytes: hostConfig.ShmSize,
    ports: requestedPorts(config, hostConfig),
    dns: dnsOf(hostConfig),
    extraHosts: hostConfig.ExtraHosts ?? nothing,
    devicePaths: devicePaths(hostConfig.Devices ?? nothing),
    init: hostConfig.Init ?? undefined,
    stop: stopOf(config),
    restart: restartOf(hostConfig.RestartPolicy),
    health: healthOf(config.Healthcheck),
    removeOnExit: hostConfig.AutoRemove,
  };
}

function dnsOf({ Dns, DnsSearch, DnsOptions }: HostConfig): ContainerSpec["dns"] {
  const given = [Dns, DnsSearch, DnsOptions].some((list) => list !== null && list.length > 0);
  return given ? { servers: Dns ?? nothing, search: DnsSearch ?? nothing, options: DnsOptions ?? nothing } : usualDns;
}

function devicePaths(devices: NonNullable<HostConfig["Devices"]>): readonly string[] {
  const paths = devices.flatMap(({ PathOnHost = "" }) => (PathOnHost.startsWith("/") ? [PathOnHost] : []));
  return paths.length === 0 ? nothing : paths;
}

function stopOf({ StopSignal, StopTimeout }: ContainerConfig): ContainerSpec["stop"] {
  const signal = stopSignal(StopSignal ?? "");
  const timeoutSeconds = StopTimeout ?? undefined;
  return signal === SIGTERM && timeoutSeconds === undefined ? usualStop : { signal, timeoutSeconds };
}

function networkOf(mode: string): ContainerSpec["network"] {
  const parsed = parseNetworkMode(mode);
  return parsed.kind === "network" ? own : parsed;
}

function namespaceOf(mode: string): NamespaceMode {
  if (mode === "host") return host;
  return mode.startsWith("container:") ? { kind: "container", container: mode.slice("container:".length) } : own;
}

function requestedPorts(config: ContainerConfig, hostConfig: HostConfig): readonly PortRequest[] {
  const ports = expandPorts(
    Object.keys(config.ExposedPorts ?? {}),
    hostConfig.PortBindings ?? {},
    hostConfig.PublishAllPorts === true,
  );
  return ports.length === 0 ? nothing : ports;
}

/** A signal that does not exist becomes the default one, because images may name such signals. */
function stopSignal(name: string): number {
  try {
    return name === "" ? SIGTERM : parseSignal(name);
  } catch {
    return SIGTERM;
  }
}

function restartOf({ Name, MaximumRetryCount }: HostConfig["RestartPolicy"]): RestartPolicy {
  const kinds = ["always", "on-failure", "unless-stopped"] as const;
  const kind = kinds.find((known) => known === Name);
  return kind === undefined ? noRestart : { kind, maximumRetryCount: MaximumRetryCount };
}

/** The command of a health check; undefined when there is none or it is "NONE". */
function healthCommand(config: HealthConfig): readonly string[] | undefined {
  const [kind, ...rest] = config.Test ?? [];
  if (kind === "CMD" && rest.length > 0) return rest;
  if (kind === "CMD-SHELL" && rest.length > 0) return ["/bin/sh", "-c", ...rest];
  return undefined;
}

function healthOf(config: HealthConfig | null | undefined): HealthCheck | undefined {
  const command = config === null || config === undefined ? undefined : healthCommand(config);
  if (command === undefined) return undefined;
  const { Interval, Timeout, StartPeriod, StartInterval, Retries } = config ?? {};
  return {
    command,
    intervalMs: (Interval || defaultHealth.intervalNs) / 1e6,
    timeoutMs: (Timeout || defaultHealth.timeoutNs) / 1e6,
    startPeriodMs: (StartPeriod ?? 0) / 1e6,
    startIntervalMs: (StartInterval || defaultHealth.startIntervalNs) / 1e6,
    retries: Retries || defaultHealth.retries,
  };
}

/** Attributes of every event of a container: labels, then image and name. */
export function eventAttributes(record: ContainerRecord): Record<string, string> {
  const { config } = dockerOf(record);
  return { ...config.Labels, image: config.Image, name: record.name };
}

/** How this engine's records are stored: the spec is derived from the extension. */
export const recordOwner: RecordOwner = {
  specOf: (record) => specOf(dockerOf(record)),
  // Record of an earlier version, which had Docker's configuration in members of its own.
  upgrade: ({ config, hostConfig, ...rest }) => {
    const extension = dockerOf({ id: String(rest["id"]), extension: { config, hostConfig } });
    return { ...rest, extension };
  },
};
