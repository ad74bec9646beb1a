/** What clients see of a container: inspect, and the parts that the list also uses. */
import { dockerOf } from "../docker-extension.ts";
import { sortedKeys } from "@fathom/base";
import type { Endpoint, PortBinding } from "@fathom/network";
import {
  emptyEndpointSettings,
  type ContainerInspect,
  type EndpointSettings,
  type Health,
  type MountPoint as ShownMount,
  type NetworkSettings,
  type PortSummary,
} from "@fathom/spec";
import {
  type Container,
  type ContainerRecord,
  type NetworkAttachment,
  type MountPoint,
  holdLayers,
  containerPaths,
} from "@fathom/containers";
import type { EngineContext } from "../../context.ts";
import { shownLinks } from "../../networks/links.ts";
import { parseNetworkMode } from "../../networks/network-mode.ts";

export async function inspectContainer(
  engine: EngineContext,
  nameOrId: string,
  size: boolean,
): Promise<ContainerInspect> {
  const container = engine.containers.find(nameOrId);
  const { record } = container;
  const { state } = record;
  const paths = containerPaths(engine.config, record.id);
  const files = filesOwner(engine, record);
  const layer = engine.store.snapshots.get(record.id);
  const started = state.startedAt !== "0001-01-01T00:00:00Z";
  return {
    Id: record.id,
    Created: record.createdAt,
    Path: record.path,
    Args: record.arguments,
    State: {
      Status: container.status,
      Running: container.process !== undefined || state.status === "restarting",
      Paused: container.paused,
      Restarting: state.status === "restarting",
      OOMKilled: state.oomKilled,
      Dead: state.status === "dead",
      Pid: state.pid,
      ExitCode: state.exitCode,
      // This is no failure, but users who wonder why exec does not work look here.
      Error: container.process?.supervisor.unreachable ?? state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(record.health === undefined ? {} : { Health: shownHealth(record.health) }),
    },
    Image: record.imageId,
    ResolvConfPath: started ? files.resolvConf : "",
    HostnamePath: started ? files.hostname : "",
    HostsPath: started ? files.hosts : "",
    LogPath: dockerOf(record).hostConfig.LogConfig.Type === "json-file" && started ? paths.jsonLog : "",
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: "overlay2",
    Platform: "linux",
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: container.execs.size === 0 ? null : [...container.execs],
    HostConfig: { ...dockerOf(record).hostConfig, Links: shownLinks(engine, record) },
    ...(layer === undefined
      ? {}
      : {
          GraphDriver: {
            Name: "overlay2",
            Data: {
              ID: record.id,
              LowerDir: layer.lowerPaths.join(":"),
              MergedDir: layer.mergedPath,
              UpperDir: layer.diffPath,
              WorkDir: layer.workPath,
            },
          },
        }),
    ...(size ? await containerSizes(engine, container) : {}),
    Mounts: record.mounts.map(shownMount),
    Config: dockerOf(record).config,
    NetworkSettings: networkSettings(container),
  };
}

function shownHealth({ status, failingStreak, results }: NonNullable<ContainerRecord["health"]>): Health {
  const Log = results.map(({ startedAt, endedAt, exitCode, output }) => ({
    Start: startedAt,
    End: endedAt,
    ExitCode: exitCode,
    Output: output,
  }));
  return { Status: status, FailingStreak: failingStreak, Log };
}

/** With `container:NAME`, the files in /etc belong to the other container. */
function filesOwner(engine: EngineContext, record: ContainerRecord): ReturnType<typeof containerPaths> {
  const mode = parseNetworkMode(dockerOf(record).hostConfig.NetworkMode);
  if (mode.kind !== "container") return containerPaths(engine.config, record.id);
  const other = engine.containers.byId(mode.container)?.id ?? findId(engine, mode.container) ?? record.id;
  return containerPaths(engine.config, other);
}

function findId(engine: EngineContext, nameOrId: string): string | undefined {
  try {
    return engine.containers.find(nameOrId).id;
  } catch {
    return undefined;
  }
}

export async function containerSizes(
  engine: EngineContext,
  container: Container,
): Promise<{ SizeRw: number; SizeRootFs: number }> {
  const { record } = container;
  using _ = holdLayers(container);
  const own = await engine.store.snapshots.usage(record.id);
  return { SizeRw: own, SizeRootFs: own + imageSize(engine, record) };
}

function imageSize(engine: EngineContext, record: ContainerRecord): number {
  let size = 0;
  for (let chain = record.topLayer; chain !== undefined;) {
    const layer = engine.store.layers.get(chain);
    if (layer === undefined) break;
    size += layer.size;
    chain = layer.parent;
  }
  return size;
}

export function shownMount(mount: MountPoint): ShownMount {
  return {
    Type: mount.type,
    ...(mount.name === undefined ? {} : { Name: mount.name }),
    ...(mount.image === undefined ? {} : { Name: mount.image.reference }),
    Source: mount.source,
    Destination: mount.destination,
    ...(mount.driver === undefined ? {} : { Driver: mount.driver }),
    Mode: mount.mode,
    RW: mount.readWrite,
    Propagation: mount.propagation,
  };
}

function networkSettings(container: Container): NetworkSettings {
  const { record } = container;
  const running = container.process !== undefined;
  const hasSandbox = running && parseNetworkMode(dockerOf(record).hostConfig.NetworkMode).kind !== "container";
  return {
    // There is no sandbox besides the process: the pid leads to its namespace.
    SandboxID: hasSandbox ? record.id : "",
    SandboxKey: hasSandbox ? `/proc/${record.state.pid}/ns/net` : "",
    Ports: shownPorts(record, running),
    Networks: sortedKeys(
      Object.fromEntries(record.networks.map((network) => [network.network, endpointSettings(network, running)])),
    ),
  };
}

export function endpointSettings(attachment: NetworkAttachment, running: boolean): EndpointSettings {
  const { endpoint } = attachment;
  return {
    ...emptyEndpointSettings,
    IPAMConfig: requestedAddresses(attachment),
    Links: attachment.links,
    Aliases: attachment.aliases,
    DriverOpts: attachment.driverOptions,
    GwPriority: attachment.gatewayPriority,
    NetworkID: attachment.networkId,
    MacAddress: attachment.macAddress ?? "",
    ...(endpoint === undefined || !running ? {} : liveEndpoint(endpoint)),
  };
}

function requestedAddresses({
  ipv4Address,
  ipv6Address,
  linkLocalAddresses,
}: NetworkAttachment): EndpointSettings["IPAMConfig"] {
  if (ipv4Address === undefined && ipv6Address === undefined && linkLocalAddresses === undefined) return null;
  return {
    ...(ipv4Address === undefined ? {} : { IPv4Address: ipv4Address }),
    ...(ipv6Address === undefined ? {} : { IPv6Address: ipv6Address }),
    ...(linkLocalAddresses === undefined ? {} : { LinkLocalIPs: linkLocalAddresses }),
  };
}

function liveEndpoint(endpoint: Endpoint): Partial<EndpointSettings> {
  const ipv4 = endpoint.addresses.find(({ family }) => family === "ipv4");
  const ipv6 = endpoint.addresses.find(({ family }) => family === "ipv6");
  return {
    EndpointID: endpoint.endpointId,
    Gateway: endpoint.gateways.ipv4 ?? "",
    IPAddress: ipv4?.address ?? "",
    IPPrefixLen: ipv4?.prefixLength ?? 0,
    IPv6Gateway: endpoint.gateways.ipv6 ?? "",
    GlobalIPv6Address: ipv6?.address ?? "",
    GlobalIPv6PrefixLen: ipv6?.prefixLength ?? 0,
    MacAddress: endpoint.macAddress,
    DNSNames: endpoint.names.length === 0 ? null : endpoint.names,
  };
}

type ShownPorts = Record<string, { HostIp: string; HostPort: string }[] | null>;

/** Published ports with their host addresses, exposed ports with null; nothing while the container does not run. */
function shownPorts(record: ContainerRecord, running: boolean): ShownPorts {
  const ports: ShownPorts = {};
  if (!running || parseNetworkMode(dockerOf(record).hostConfig.NetworkMode).kind === "host") return ports;
  for (const exposed of Object.keys(dockerOf(record).config.ExposedPorts ?? {})) ports[exposed] = null;
  for (const binding of bindings(record)) {
    const key = `${binding.containerPort}/${binding.protocol}`;
    (ports[key] ??= []).push({
      HostIp: binding.hostIp,
      HostPort: binding.hostPort === 0 ? "" : String(binding.hostPort),
    });
  }
  return sortedKeys(ports);
}

function bindings(record: ContainerRecord): readonly PortBinding[] {
  return record.networks.flatMap(({ endpoint }) => endpoint?.ports ?? []);
}

/** For the list: each binding of a published port, and each exposed port without a binding. */
export function portSummaries(container: Container): PortSummary[] {
  if (container.process === undefined) return [];
  const { record } = container;
  // Exposed ports in another container's or the host's network belong to that network.
  if (!["network", "none"].includes(parseNetworkMode(dockerOf(record).hostConfig.NetworkMode).kind)) return [];
  // A port of a routed network has no port of the host: it is shown as exposed.
  const withHostPort = bindings(record).filter(({ hostPort }) => hostPort !== 0);
  const published: PortSummary[] = withHostPort.map((binding) => ({
    IP: binding.hostIp,
    PrivatePort: binding.containerPort,
    PublicPort: binding.hostPort,
    Type: binding.protocol,
  }));
  for (const exposed of Object.keys(dockerOf(record).config.ExposedPorts ?? {})) {
    const [port, protocol = "tcp"] = exposed.split("/");
    if (published.some((known) => known.PrivatePort === Number(port) && known.Type === protocol)) continue;
    published.push({ IP: "", PrivatePort: Number(port), Type: protocol });
  }
  return published.sort((a, b) => a.PrivatePort - b.PrivatePort);
}
