/** Networks of the fake: the bridge, which always exists, and those that a client made. No container is in them. */
import { EngineError } from "@fathom/base";
import type { NetworkBackend } from "@fathom/engine";
import { refuseFilters } from "@fathom/engine/testing";
import type {
  Filters,
  NetworkCreateRequest,
  NetworkCreateResponse,
  NetworkInspect,
  NetworkPruneReport,
} from "@fathom/spec";

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
  #made: NetworkInspect[] = [];

  get #all(): readonly NetworkInspect[] {
    return [bridge, ...this.#made];
  }

  async list({ name: names, ...others }: Filters): Promise<NetworkInspect[]> {
    refuseFilters(others);
    return this.#all.filter(({ Name }) => names === undefined || names.some((name) => Name.includes(name)));
  }

  async inspect(name: string): Promise<NetworkInspect> {
    const found = this.#all.find(({ Name, Id }) => name === Name || name === Id);
    if (found === undefined) throw new EngineError("not-found", `network ${name} not found`);
    return found;
  }

  async create({ Name, Labels }: NetworkCreateRequest): Promise<NetworkCreateResponse> {
    if (Name === "") throw new EngineError("invalid-argument", "invalid name: name is empty");
    if (this.#all.some((network) => network.Name === Name))
      throw new EngineError("conflict", `network with name ${Name} already exists`);
    const Id = String(this.#made.length + 1).padStart(64, "0");
    this.#made.push({ ...bridge, Name, Id, Labels: Labels ?? {} });
    return { Id, Warning: "" };
  }

  async remove(name: string): Promise<void> {
    const network = await this.inspect(name);
    if (network === bridge) throw new EngineError("forbidden", "bridge is a pre-defined network and cannot be removed");
    this.#made = this.#made.filter((other) => other !== network);
  }

  async prune(filters: Filters): Promise<NetworkPruneReport> {
    refuseFilters(filters);
    const names = this.#made.splice(0).map(({ Name }) => Name);
    return { NetworksDeleted: names.length === 0 ? null : names };
  }

  async connect(name: string): Promise<void> {
    await this.inspect(name);
  }

  async disconnect(name: string): Promise<void> {
    await this.inspect(name);
  }
}
