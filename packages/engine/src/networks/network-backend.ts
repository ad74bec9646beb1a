/** Networks as servers use them. */
import type { NetworkBackend } from "../backend.ts";
import type { EngineContext } from "../context.ts";
import { inspectNetwork, listNetworks } from "./network-state.ts";

export function createNetworkBackend(engine: EngineContext): NetworkBackend {
  return {
    list: async (filters) => listNetworks(engine, filters),
    inspect: async (name, options) => inspectNetwork(engine, name, options),
  };
}
