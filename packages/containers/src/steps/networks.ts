/** A container's endpoints: made when it starts, given up when it has ended. */
import { EngineError } from "@fathom/base";
import type { Endpoint, PreparedLink } from "@fathom/network";
import type { Container } from "../container.ts";
import type { ContainersContext } from "../context.ts";
import type { NetworkAttachment } from "../record.ts";

/**
 * Connects a starting container. On failure everything is detached again.
 */
export async function attachNetworks(
  engine: ContainersContext,
  container: Container,
  namespaceFd: number | undefined,
  link?: PreparedLink,
): Promise<NetworkAttachment[]> {
  const { record } = container;
  const attached: NetworkAttachment[] = [];
  try {
    for (const [index, wanted] of record.networks.entries()) {
      const network = engine.networks.find(wanted.network);
      if (network === undefined) throw new EngineError("not-found", `network ${wanted.network} not found`);
      let endpoint: Endpoint | undefined;
      if (network.driver === "bridge") {
        if (namespaceFd === undefined)
          throw new EngineError("internal", "a container on a bridge has no network namespace");
        endpoint = await engine.networks.attach({
          containerId: record.id,
          endpointName: record.name,
          namespaceFd,
          networkId: network.id,
          interfaceName: `eth${index}`,
          ports: index === 0 ? record.spec.ports : [],
          isDefaultGateway: index === 0,
          ...(link !== undefined && network.name === "bridge" && link.interfaceName === `eth${index}`
            ? { prepared: link }
            : {}),
          ...(wanted.macAddress === undefined ? {} : { macAddress: wanted.macAddress }),
          ...(wanted.ipv4Address === undefined ? {} : { ipv4Address: wanted.ipv4Address }),
        });
      } else if (network.driver === "null" && namespaceFd !== undefined) engine.networks.loopbackUp(namespaceFd);
      attached.push({ ...wanted, endpoint, networkId: network.id });
      engine.events.publish("network", "connect", network.id, {
        container: record.id,
        name: network.name,
        type: network.driver,
      });
    }
    return attached;
  } catch (error) {
    await detachAll(engine, record.id, attached);
    throw error;
  }
}

/** Gives up the endpoints of a container that has ended. */
export async function detachNetworks(engine: ContainersContext, container: Container): Promise<void> {
  await detachAll(engine, container.id, container.record.networks);
}

export async function detachAll(
  engine: ContainersContext,
  containerId: string,
  networks: readonly NetworkAttachment[],
): Promise<void> {
  const failures: unknown[] = [];
  for (const attachment of networks) {
    if (attachment.networkId === "") continue;
    try {
      if (attachment.endpoint !== undefined) await engine.networks.detach(attachment.endpoint);
    } catch (error) {
      failures.push(error);
    }
    const network = engine.networks.find(attachment.networkId);
    engine.events.publish("network", "disconnect", attachment.networkId, {
      container: containerId,
      name: network?.name ?? attachment.network,
      type: network?.driver ?? "bridge",
    });
  }
  if (failures.length > 0) throw new AggregateError(failures, "detaching a network failed");
}

/** The endpoints of all containers that run, for `Networks.start` and `reconcile`. */
export function knownEndpoints(containers: Iterable<readonly NetworkAttachment[]>): Endpoint[] {
  const endpoints: Endpoint[] = [];
  for (const networks of containers)
    for (const { endpoint } of networks) if (endpoint !== undefined) endpoints.push(endpoint);
  return endpoints;
}
