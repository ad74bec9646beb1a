/** Networks as servers use them. */
import type { NetworkBackend } from "../backend.ts";
import type { EngineContext } from "../context.ts";
import { withDockersWords } from "../words/refusal-words.ts";
import { connectContainer, disconnectContainer } from "./connections.ts";
import { createNetwork } from "./create-network.ts";
import { inspectNetwork, listNetworks } from "./network-view.ts";
import { pruneNetworks, removeNetwork } from "./remove-networks.ts";

export function createNetworkBackend(engine: EngineContext): NetworkBackend {
  return withDockersWords<NetworkBackend>({
    list: async (filters) => listNetworks(engine, filters),
    inspect: async (name, options) => inspectNetwork(engine, name, options),
    create: async (body) => ({ Id: await createNetwork(engine, body), Warning: "" }),
    remove: (name) => removeNetwork(engine, name),
    prune: (filters) => pruneNetworks(engine, filters),
    connect: (name, body) => connectContainer(engine, name, body),
    disconnect: (name, body) => disconnectContainer(engine, name, body),
  });
}
