/** Networks of the fake: the bridge, which always exists. */
import { EngineError } from "@fathom/base";
import type { NetworkBackend } from "@fathom/engine";
import { refuseFilters } from "@fathom/engine/testing";
import type { Filters, NetworkInspect } from "@fathom/spec";

const bridge: NetworkInspect = {
  Name: "bridge",
  Id: "b".repeat(64),
  Created: "2026-01-01T00:00:00Z",
  Scope: "local",
  Driver: "bridge",
  EnableIPv4: true,
  EnableIPv6: false,
  IPAM: { Driver: "default", Options: null, Config: [{ Subnet: "172.17.0.0/16", Gateway: "172.17.0.1" }] },
  Internal: false,
  Attachable: false,
  Ingress: false,
  ConfigFrom: { Network: "" },
  ConfigOnly: false,
  Containers: {},
  Options: {},
  Labels: {},
};

export class FakeNetworks implements NetworkBackend {
  async list({ name: names = [bridge.Name], ...others }: Filters): Promise<NetworkInspect[]> {
    refuseFilters(others);
    return names.some((name) => bridge.Name.includes(name)) ? [bridge] : [];
  }

  async inspect(name: string): Promise<NetworkInspect> {
    if (name === bridge.Name || name === bridge.Id) return bridge;
    throw new EngineError("not-found", `network ${name} not found`);
  }
}
