/** docker network rm and prune. */
import { EngineError, isEngineError, parseRfc3339Nano, shortId, Turns } from "@fathom/base";
import type { NetworkInfo } from "@fathom/network";
import type { Filters, NetworkPruneReport } from "@fathom/spec";
import type { EngineContext } from "../context.ts";
import { checkFilterKeys, filterValues, matchesLabels } from "../filters/filters.ts";
import { parseUntil } from "../filters/prune-until.ts";
import { publishNetwork } from "./network-events.ts";
import { findNetworkOf, isUsed } from "./network-view.ts";

export async function removeNetwork(engine: EngineContext, name: string): Promise<void> {
  const network = findNetworkOf(engine, name);
  if (network.builtin)
    throw new EngineError("forbidden", `${network.name} is a pre-defined network and cannot be removed`);
  try {
    await engine.networks.remove(network.id);
  } catch (error) {
    throw isEngineError(error, "conflict") ? activeEndpoints(engine, network, error) : error;
  }
  publishNetwork(engine, "destroy", network);
}

function activeEndpoints(engine: EngineContext, { id, name }: NetworkInfo, cause: EngineError): EngineError {
  const endpoints = engine.networks.endpoints(id).map(({ endpointId, containerId }) => {
    const container = engine.containers.byId(containerId)?.record.name ?? "";
    return `name:${JSON.stringify(container)} id:${JSON.stringify(shortId(endpointId))}`;
  });
  const list = endpoints.length === 0 ? "" : ` (${endpoints.join(", ")})`;
  return new EngineError("forbidden", `error while removing network: network ${name} has active endpoints${list}`, {
    cause,
  });
}

/** Removes the networks that no running container uses. A network that cannot be removed stays, with a line in the log. */
export async function pruneNetworks(engine: EngineContext, filters: Filters): Promise<NetworkPruneReport> {
  checkFilterKeys(filters, ["label", "label!", "until"]);
  const until = parseUntil(filterValues(filters, "until"), engine.clock.nowNs());
  const without = filterValues(filters, "label!");
  const matches = (network: NetworkInfo): boolean =>
    !network.builtin &&
    !isUsed(engine, network) &&
    matchesLabels(network.labels, filterValues(filters, "label")) &&
    (without.length === 0 || !matchesLabels(network.labels, without)) &&
    (until === undefined || (parseRfc3339Nano(network.createdAt) ?? 0n) <= until);
  const removed: string[] = [];
  const turns = new Turns();
  for (const network of engine.networks.list().filter(matches)) {
    // The kernel needs some 30 ms for a bridge.
    await turns.end();
    try {
      await engine.networks.remove(network.id);
      publishNetwork(engine, "destroy", network);
      removed.push(network.name);
    } catch (error) {
      engine.logger.warn("a network could not be pruned", { error, network: network.name });
    }
  }
  engine.events.publish("network", "prune", "", { reclaimed: "0" });
  return { NetworksDeleted: removed.length === 0 ? null : removed };
}
