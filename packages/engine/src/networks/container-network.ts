/** The networks of a new container: the requested ones, and combinations that are not allowed. */
import { EngineError } from "@fathom/base";
import { type NetworkAttachment } from "@fathom/containers";
import { checkMacAddress, endpointProblems, settingsOfOptions, type NetworkInfo } from "@fathom/network";
import type { ContainerConfig, ContainerCreateRequest, EndpointSettings, HostConfig } from "@fathom/spec";
import type { EngineContext } from "../context.ts";
import { parseLink } from "./links.ts";
import { defaultNetworkName, parseNetworkMode } from "./network-mode.ts";

/**
 * Options that are not allowed with the network or the host name of another container or of the host.
 * @throws invalid-argument in Docker's words
 */
export function checkNetworkMode(config: ContainerConfig, host: HostConfig): void {
  const conflict = (reason: string): EngineError =>
    new EngineError("invalid-argument", `conflicting options: ${reason}`);
  const mode = parseNetworkMode(host.NetworkMode);
  const links = (host.Links?.length ?? 0) > 0;
  if (host.NetworkMode.split(":")[0] === "container") {
    if (mode.kind !== "container" || mode.container === "")
      throw new EngineError("invalid-argument", "invalid network mode: invalid container format container:<name|id>");
    if (config.Hostname !== "") throw conflict("hostname and the network mode");
    if (links)
      throw conflict("container type network can't be used with links. This would result in undefined behavior");
    if ((host.Dns?.length ?? 0) > 0) throw conflict("dns and the network mode");
    if ((host.ExtraHosts?.length ?? 0) > 0) throw conflict("custom host-to-IP mapping and the network mode");
    if (config.MacAddress) throw conflict("mac-address and the network mode");
    if (Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts)
      throw conflict("port publishing and the container type network mode");
    if (Object.keys(config.ExposedPorts ?? {}).length > 0)
      throw conflict("port exposing and the container type network mode");
  }
  if (host.UTSMode === "host" && config.Hostname !== "") throw conflict("hostname and the UTS mode");
  if (mode.kind === "host" && links)
    throw conflict("host type networking can't be used with links. This would result in undefined behavior");
}

/** A network that a client requests for a container, with the settings of the endpoint. @throws invalid-argument for a bad MAC address or link */
export function attachmentOf(
  network: string,
  config: EndpointSettings | undefined,
  macAddress: string | undefined,
): NetworkAttachment {
  const mac = config?.MacAddress || macAddress || undefined;
  if (mac !== undefined) checkMacAddress(mac);
  for (const link of config?.Links ?? []) parseLink(link);
  const { IPv4Address, IPv6Address, LinkLocalIPs } = config?.IPAMConfig ?? {};
  return {
    network,
    ipv4Address: IPv4Address || undefined,
    ipv6Address: IPv6Address || undefined,
    linkLocalAddresses: LinkLocalIPs?.length ? LinkLocalIPs : undefined,
    macAddress: mac,
    aliases: config?.Aliases ?? null,
    links: config?.Links ?? null,
    driverOptions: config?.DriverOpts ?? null,
    gatewayPriority: config?.GwPriority ?? 0,
    endpoint: undefined,
    networkId: "",
  };
}

/** @throws invalid-argument in Docker's words, which begin with `context` */
export function checkEndpoint(
  network: Pick<NetworkInfo, "builtin" | "pools"> | undefined,
  { ipv4Address, ipv6Address, linkLocalAddresses, aliases, driverOptions }: NetworkAttachment,
  context: string,
): void {
  const problems = endpointProblems(network, {
    ...settingsOfOptions(driverOptions),
    ...(ipv4Address === undefined ? {} : { ipv4Address }),
    ...(ipv6Address === undefined ? {} : { ipv6Address }),
    ...(linkLocalAddresses === undefined ? {} : { linkLocalAddresses }),
    aliases: aliases ?? [],
  });
  if (problems !== undefined) throw new EngineError("invalid-argument", `${context}:\n${problems}`);
}

/** The networks of a new container: the network of its mode, with the settings of NetworkingConfig, and the other networks named there. */
export function requestedNetworks(
  networkMode: string,
  macAddress: string | undefined,
  networking: ContainerCreateRequest["NetworkingConfig"],
): NetworkAttachment[] {
  const mode = parseNetworkMode(networkMode);
  if (mode.kind === "container") return [];
  const primary = mode.kind === "network" ? mode.name : mode.kind;
  const configs = Object.fromEntries(
    Object.entries(networking.EndpointsConfig).map(([name, config]) => [
      name === "default" ? defaultNetworkName : name,
      config,
    ]),
  );
  const names = [primary, ...Object.keys(configs).filter((name) => name !== primary)];
  return names.map((network) => attachmentOf(network, configs[network], network === primary ? macAddress : undefined));
}

/** Networks that exist are called by their names; those that do not exist are an error of the start. @throws invalid-argument in Docker's words */
export function checkRequestedNetworks(
  engine: Pick<EngineContext, "networks">,
  networks: readonly NetworkAttachment[],
): NetworkAttachment[] {
  return networks.map((attachment) => {
    const network = engine.networks.find(attachment.network);
    const name = network?.name ?? attachment.network;
    checkEndpoint(network, attachment, `invalid config for network ${name}: invalid endpoint settings`);
    return { ...attachment, network: name };
  });
}
