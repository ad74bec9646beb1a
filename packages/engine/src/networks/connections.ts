/** docker network connect and disconnect. */
import { EngineError } from "@fathom/base";
import {
  connectRunning,
  disconnectRunning,
  findNetwork,
  locked,
  type Container,
  type NetworkAttachment,
} from "@fathom/containers";
import type { NetworkInfo } from "@fathom/network";
import type { NetworkConnectRequest, NetworkDisconnectRequest } from "@fathom/spec";
import type { EngineContext } from "../context.ts";
import { dockerOf } from "../containers/docker-extension.ts";
import { attachmentOf, checkEndpoint } from "./container-network.ts";
import { parseNetworkMode } from "./network-mode.ts";
import { findNetworkOf } from "./network-view.ts";

export async function connectContainer(
  engine: EngineContext,
  name: string,
  { Container: containerName, EndpointConfig: config }: NetworkConnectRequest,
): Promise<void> {
  const container = engine.containers.find(containerName);
  await locked(engine, container, async () => {
    mustStay(container);
    const { networks } = container.record;
    const wanted = attachmentOf(name, config ?? undefined, undefined);
    const running = container.process !== undefined;
    // A container that does not run may be connected to a network that somebody makes before its start.
    const network = running ? findNetworkOf(engine, name) : engine.networks.find(name);
    if (network === undefined) return changeRow(engine, container, [...without(networks, name), wanted]);
    checkEndpoint(network, wanted, `invalid endpoint settings`);
    mustFit(engine, container, network);
    const attachment = { ...wanted, network: network.name };
    const before = networks.find((other) => findNetwork(engine, other)?.id === network.id);
    if (running && before !== undefined && before.networkId === network.id)
      throw new EngineError(
        "forbidden",
        `endpoint with name ${container.record.name} already exists in network ${network.name}`,
      );
    if (running) await connectRunning(engine, container, network, attachment);
    else if (before === undefined)
      changeRow(engine, container, [...without(networks, network.name), { ...attachment, networkId: network.id }]);
  });
}

export async function disconnectContainer(
  engine: EngineContext,
  name: string,
  { Container: containerName, Force: force }: NetworkDisconnectRequest,
): Promise<void> {
  const container = engine.containers.find(containerName);
  await locked(engine, container, async () => {
    const network = engine.networks.find(name);
    const { networks } = container.record;
    if (container.process === undefined || (network === undefined && force)) {
      mustStay(container);
      const known = network?.name ?? name;
      if (!networks.some((attachment) => attachment.network === known))
        throw new EngineError("conflict", `container ${container.id} is not connected to the network ${known}`);
      return changeRow(engine, container, without(networks, known));
    }
    if (network === undefined) throw new EngineError("not-found", `network ${name} not found`);
    const mode = parseNetworkMode(dockerOf(container.record).hostConfig.NetworkMode);
    if (mode.kind === "host" && network.driver === "host")
      throw new EngineError(
        "invalid-argument",
        "cannot disconnect container from host network - container was created in host network mode",
      );
    if (!networks.some(({ networkId }) => networkId === network.id))
      throw new EngineError("conflict", `container ${container.id} is not connected to network ${network.name}`);
    await disconnectRunning(engine, container, network);
  });
}

function without(networks: readonly NetworkAttachment[], name: string): NetworkAttachment[] {
  return networks.filter(({ network }) => network !== name);
}

/** The container does not run: an interface that was made for its start in advance is of no use any more. */
function changeRow(engine: EngineContext, container: Container, networks: readonly NetworkAttachment[]): void {
  engine.containers.update(container, { networks });
  engine.stems.drop(container.id);
}

/** @throws conflict for a container that is being removed */
function mustStay({ id, record, status }: Container): void {
  if (status === "removing" || record.state.status === "dead")
    throw new EngineError(
      "conflict",
      `Container ${id} is marked for removal and cannot be connected or disconnected to the network`,
    );
}

/** Combinations of networks that a container cannot have. @throws invalid-argument in Docker's words */
function mustFit(engine: EngineContext, { record }: Container, network: NetworkInfo): void {
  const mode = parseNetworkMode(dockerOf(record).hostConfig.NetworkMode);
  const shared = new EngineError(
    "invalid-argument",
    "container sharing network namespace with another container or host cannot be connected to any other network",
  );
  if (mode.kind === "container") throw shared;
  if (mode.kind !== "host" && network.driver === "host")
    throw new EngineError(
      "invalid-argument",
      "cannot connect container to host network - container must be created in host network mode",
    );
  for (const attachment of record.networks) {
    const other = findNetwork(engine, attachment);
    if (other === undefined || other.id === network.id) continue;
    if (other.driver === "host" || network.driver === "host") throw shared;
    if (other.driver === "null" || network.driver === "null")
      throw new EngineError(
        "invalid-argument",
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
      );
  }
}
