/** Networks without interfaces for containers: a container has what its namespace has. "host" is the host's own namespace, "null" an empty one. */
import { EngineError } from "@fathom/base";
import type { DriverNetwork, NetworkDriver } from "./driver.ts";

export function createNamespaceDriver(name: "host" | "null"): NetworkDriver {
  const none = (): never => {
    throw new EngineError("internal", `networks of driver ${name} have no endpoints`);
  };
  const network: DriverNetwork = {
    rules: undefined,
    publishing: undefined,
    repair: () => undefined,
    createEndpoint: none,
    join: none,
    leave: none,
    deleteEndpoint: none,
    clean: () => false,
    remove: async () => undefined,
    [Symbol.dispose]: () => undefined,
  };
  return {
    name,
    capabilities: { endpoints: false, ownsInterface: false },
    options: (_id, { options }) => options,
    hostInterface: () => undefined,
    rules: () => undefined,
    open: async () => network,
  };
}
