/**
 * A container in Docker's terms: the configuration that inspect gives back, carried by the container's record, and what it says to `@fathom/containers`.
 */
import { EngineError } from "@fathom/base";
import {
  type ContainerSpec,
  type NamespaceMode,
  type HealthCheck,
  type RestartPolicy,
  type ContainerRecord,
  parseSignal,
  SIGTERM,
  parseNetworkMode,
} from "@fathom/containers";
import { expandPorts, type PortRequest } from "@fathom/network";
import type { ContainerConfig, HealthConfig, HostConfig } from "@fathom/spec";

export interface DockerExtension {
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
}

/** Written by this engine alone, with each record. @throws data-loss where it is something else */
export function dockerOf({ id, extension }: Pick<ContainerRecord, "id" | "extension">): DockerExtension {
  const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
  if (isObject(extension) && "config" in extension && "hostConfig" in extension)
    if (isObject(extension.config) && isObject(extension.hostConfig)) return extension as DockerExtension;
  throw new EngineError("data-loss", `the record of container ${id} has no configuration of Docker's`);
}

const defaultHealth = { intervalNs: 30e9, timeoutNs: 30e9, startIntervalNs: 5e9, retries: 3 } as const;

/** What the configuration says to the lifecycle and its steps. Pure; checked before. */
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
    dns: { servers: hostConfig.Dns ?? [], search: hostConfig.DnsSearch ?? [], options: hostConfig.DnsOptions ?? [] },
    extraHosts: hostConfig.ExtraHosts ?? [],
    devicePaths: (hostConfig.Devices ?? []).flatMap(({ PathOnHost = "" }) =>
      PathOnHost.startsWith("/") ? [PathOnHost] : [],
    ),
    init: hostConfig.Init ?? undefined,
    stop: { signal: stopSignal(config.StopSignal ?? ""), timeoutSeconds: config.StopTimeout ?? undefined },
    restart: restartOf(hostConfig.RestartPolicy),
    health: healthOf(config.Healthcheck),
    removeOnExit: hostConfig.AutoRemove,
  };
}

function networkOf(mode: string): ContainerSpec["network"] {
  const parsed = parseNetworkMode(mode);
  return parsed.kind === "network" ? { kind: "own" } : parsed;
}

function namespaceOf(mode: string): NamespaceMode {
  if (mode === "host") return { kind: "host" };
  return mode.startsWith("container:")
    ? { kind: "container", container: mode.slice("container:".length) }
    : { kind: "own" };
}

export function requestedPorts(config: ContainerConfig, hostConfig: HostConfig): PortRequest[] {
  return expandPorts(
    Object.keys(config.ExposedPorts ?? {}),
    hostConfig.PortBindings ?? {},
    hostConfig.PublishAllPorts === true,
  );
}

/** One that no system has is the usual one: images may name it. */
function stopSignal(name: string): number {
  try {
    return name === "" ? SIGTERM : parseSignal(name);
  } catch {
    return SIGTERM;
  }
}

function restartOf({ Name, MaximumRetryCount }: HostConfig["RestartPolicy"]): RestartPolicy {
  const kinds = ["always", "on-failure", "unless-stopped"] as const;
  return { kind: kinds.find((kind) => kind === Name) ?? "no", maximumRetryCount: MaximumRetryCount };
}

/** The command of a health check; undefined where there is none or it is "NONE". */
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

/** Of a version whose records had Docker's configuration in their own members. */
export function upgradeRecord(old: Readonly<Record<string, unknown>>): ContainerRecord {
  const { config, hostConfig, ...rest } = old;
  const extension = dockerOf({ id: String(rest["id"]), extension: { config, hostConfig } });
  return { ...rest, spec: specOf(extension), extension } as unknown as ContainerRecord;
}
