/** A container's endpoints: made when it starts, removed when it has ended. */
import { EngineError, messageOf } from "@fathom/base";
import type { Endpoint, NetworkInfo, PreparedLink } from "@fathom/network";
import type { Supervisor } from "@fathom/runtime";
import type { Container } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import type { NetworkAttachment } from "../record.ts";
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
      const network = engine.networks.find(wanted.network);
      if (network === undefined) throw new EngineError("not-found", `network ${wanted.network} not found`);
      const { macAddress, ipv4Address, gatewayPriority } = wanted;
      await sandbox.connect(network.id, {
        gatewayPriority,
        ...(macAddress === undefined ? {} : { macAddress }),
        ...(ipv4Address === undefined ? {} : { ipv4Address }),
      });
      connected.push({ ...wanted, networkId: network.id });
      publishChange(engine, id, "connect", network);
    }
    // Read only now, because a later connection may have taken the ports.
    const { endpoints } = sandbox;
    return connected.map((attachment) => ({
      ...attachment,
      endpoint: endpoints.find(({ networkId }) => networkId === attachment.networkId),
    }));
  } catch (error) {
    await detachAll(engine, id, connected).catch((failure: unknown) =>
      engine.logger.error("detaching a network failed", { error: messageOf(failure), id }),
    );
    throw error;
  }
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
        publishChange(
          engine,
          containerId,
          "disconnect",
          engine.networks.find(networkId) ?? { id: networkId, name: network, driver: "" },
        );
  }
}

/** After interfaces of interrupted connections were removed: see `StartedNetworks.interfacesRemoved`. */
export async function repairNetworks(
  engine: ContainersContext,
  { id, record: { name } }: Container,
  supervisor: Supervisor,
): Promise<void> {
  if (engine.networks.sandbox({ containerId: id, containerName: name }).endpoints.length === 0) return;
  const namespaceFd = openNetworkNamespace(engine.sys, supervisor);
  if (namespaceFd === undefined) return;
  try {
    await engine.networks.sandbox({ containerId: id, containerName: name, namespaceFd }).repair();
  } finally {
    engine.sys.close(namespaceFd);
  }
}

function publishChange(
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
