/** A container's endpoints: made when it starts, removed when it has ended; some come and go while it runs. */
import { EngineError, messageOf, shortId } from "@fathom/base";
import {
  settingsOfOptions,
  type Endpoint,
  type EndpointSettings,
  type NetworkInfo,
  type PreparedLink,
  type Sandbox,
} from "@fathom/network";
import type { Supervisor } from "@fathom/runtime";
import type { Container } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import type { ContainerRecord, NetworkAttachment } from "../record.ts";
import { openNetworkNamespace } from "../network-namespace.ts";

/** Connects a starting container. After a failure it is connected to nothing. */
export async function attachNetworks(
  engine: ContainersContext,
  container: Container,
  namespaceFd: number | undefined,
  prepared?: PreparedLink,
): Promise<NetworkAttachment[]> {
  const { id, name, networks, spec } = container.record;
  const { ports } = spec;
  const sandbox = engine.networks.sandbox({ containerId: id, containerName: name, namespaceFd, ports, prepared });
  const connected: NetworkAttachment[] = [];
  try {
    for (const wanted of networks) {
      const network = mustFind(engine, wanted);
      await sandbox.connect(network.id, endpointSettingsOf(container.record, network, wanted));
      connected.push({ ...wanted, network: network.name, networkId: network.id });
      publishNetworkChange(engine, id, "connect", network);
    }
    return withEndpoints(connected, sandbox);
  } catch (error) {
    await detachAll(engine, id, connected).catch((failure: unknown) =>
      engine.logger.error("detaching a network failed", { error: messageOf(failure), id }),
    );
    throw error;
  }
}

/** The network of an attachment. Networks of the settings are found by name, because another daemon may have made them again. */
export function findNetwork(
  engine: Pick<ContainersContext, "networks">,
  { network: name, networkId }: Pick<NetworkAttachment, "network" | "networkId">,
): NetworkInfo | undefined {
  const byName = engine.networks.find(name);
  return networkId === "" || byName?.builtin === true ? byName : engine.networks.find(networkId);
}

function mustFind(engine: ContainersContext, wanted: NetworkAttachment): NetworkInfo {
  const found = findNetwork(engine, wanted);
  if (found === undefined)
    throw new EngineError("not-found", `network ${wanted.networkId || wanted.network} not found`);
  return found;
}

/** The endpoints are read only after all changes, because the last one may have moved the ports. */
export function withEndpoints(networks: readonly NetworkAttachment[], { endpoints }: Sandbox): NetworkAttachment[] {
  return networks.map((attachment) => ({
    ...attachment,
    endpoint: endpoints.find(({ networkId }) => networkId === attachment.networkId),
  }));
}

export function endpointSettingsOf(
  record: ContainerRecord,
  network: NetworkInfo,
  wanted: NetworkAttachment,
): EndpointSettings {
  const { macAddress, ipv4Address, ipv6Address, linkLocalAddresses, gatewayPriority, driverOptions } = wanted;
  const links = network.builtin ? [] : (wanted.links ?? []);
  return {
    gatewayPriority,
    names: network.builtin ? [] : namesOf(record, wanted),
    ...(macAddress === undefined ? {} : { macAddress }),
    ...(ipv4Address === undefined ? {} : { ipv4Address }),
    ...(ipv6Address === undefined ? {} : { ipv6Address }),
    ...(linkLocalAddresses === undefined ? {} : { linkLocalAddresses }),
    ...(links.length === 0 ? {} : { links: Object.fromEntries(links.map(linkOf)) }),
    ...settingsOfOptions(driverOptions),
  };
}

/** "db:alias" or "db", in a network of the user: the names count while they are asked for, so the target may come later. */
function linkOf(link: string): readonly [alias: string, name: string] {
  const colon = link.indexOf(":");
  return colon < 0 ? [link, link] : [link.slice(colon + 1), link.slice(0, colon)];
}

/** In Docker's order: reverse look-ups answer with the first. */
function namesOf({ id, name, spec: { hostname } }: ContainerRecord, { aliases }: NetworkAttachment): string[] {
  const names = [name, ...(aliases ?? []), shortId(id), ...(hostname === "" ? [] : [hostname])];
  return [...new Set(names)];
}

/** Removes the endpoints of a container that has ended. */
export async function detachNetworks(engine: ContainersContext, container: Container): Promise<void> {
  await detachAll(engine, container.id, container.record.networks);
}

export async function detachAll(
  engine: ContainersContext,
  containerId: string,
  networks: readonly NetworkAttachment[],
): Promise<void> {
  try {
    await engine.networks.sandbox({ containerId, containerName: "" }).close();
  } finally {
    for (const { network, networkId } of networks)
      if (networkId !== "")
        publishNetworkChange(
          engine,
          containerId,
          "disconnect",
          engine.networks.find(networkId) ?? { id: networkId, name: network, driver: "" },
        );
  }
}

/**
 * After a daemon was killed while it connected or disconnected the container: routes and ports that the interrupted change took away come back.
 * @param interfacesRemoved See `StartedNetworks.interfacesRemoved`.
 * @returns the container's networks, as its row must have them
 */
export async function repairNetworks(
  engine: ContainersContext,
  { id, record: { name, spec } }: Container,
  supervisor: Supervisor,
  { networks, interfacesRemoved }: { networks: readonly NetworkAttachment[]; interfacesRemoved: boolean },
): Promise<readonly NetworkAttachment[]> {
  const { ports } = spec;
  const endpoints = networks.flatMap(({ endpoint }) => endpoint ?? []);
  const lostPorts = ports.length > 0 && endpoints.every((endpoint) => endpoint.ports.length === 0);
  if (endpoints.length === 0 || !(interfacesRemoved || lostPorts)) return networks;
  const namespaceFd = openNetworkNamespace(engine.sys, supervisor);
  if (namespaceFd === undefined) return networks;
  try {
    const sandbox = engine.networks.sandbox({ containerId: id, containerName: name, namespaceFd, ports });
    await sandbox.repair();
    return withEndpoints(networks, sandbox);
  } finally {
    engine.sys.close(namespaceFd);
  }
}

export function publishNetworkChange(
  engine: ContainersContext,
  container: string,
  change: "connect" | "disconnect",
  { id, name, driver }: Pick<NetworkInfo, "id" | "name" | "driver">,
): void {
  engine.events.publish("network", change, id, { container, name, type: driver });
}

/** The endpoints of all running containers, for `NetworkManager.start`. */
export function knownEndpoints(containers: Iterable<readonly NetworkAttachment[]>): Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (const networks of containers)
    for (const { endpoint } of networks) if (endpoint !== undefined) endpoints.push(endpoint);
  return endpoints;
}
