/** Networks in memory, for tests of code that uses networks: nothing of the host changes. It runs `network-suite.ts`, as the real ones do. */
import { EngineError, randomId } from "@fathom/base";
import type { Faults } from "@fathom/base/testing";

import type {
  Endpoint,
  EndpointSettings,
  Family,
  NetworkInfo,
  NetworkManager,
  NetworkSettings,
  PreparedLink,
  Sandbox,
  SandboxRequest,
  StartedNetworks,
} from "../contract.ts";
import { contains, formatIpv4, overlaps, parseCidr } from "../ipam/ip.ts";
import { checkEndpointSettings } from "../sandbox/endpoint-settings.ts";
import { freeInterfaceName, gatewayOf, ownAddresses, portsOwner } from "../sandbox/gateway.ts";

/** State that survives daemons: the rows, and the endpoints in the kernel. */
export class FakeHost {
  readonly endpoints = new Map<string, Endpoint>();
  readonly networks = new Map<string, NetworkInfo>();

  constructor() {
    this.#add("bridge", "bridge", "172.17");
    this.#add("host", "host");
    this.#add("none", "null");
  }

  #add(name: string, driver: string, prefix?: string): void {
    const id = randomId();
    this.networks.set(id, row({ id, name, driver, builtin: true, prefix }));
  }
}

function row({
  id,
  name,
  driver,
  builtin,
  prefix,
}: Pick<NetworkInfo, "id" | "name" | "driver" | "builtin"> & { readonly prefix: string | undefined }): NetworkInfo {
  return {
    id,
    name,
    driver,
    builtin,
    createdAt: "2026-01-01T00:00:00Z",
    internal: false,
    pools: prefix === undefined ? [] : [{ family: "ipv4", subnet: `${prefix}.0.0/16`, gateway: `${prefix}.0.1` }],
    families: ["ipv4"],
    options: {},
    labels: {},
    extension: {},
  };
}

/** In `faults`, calls of the manager have names "networks.…" and those of sandboxes "sandbox.…". */
export function createFakeNetworks(host: FakeHost, faults: Faults): NetworkManager {
  return faults.wrap("networks", new FakeNetworks(host, faults));
}

class FakeNetworks implements NetworkManager {
  readonly #host: FakeHost;
  readonly #faults: Faults;
  #started = false;

  constructor(host: FakeHost, faults: Faults) {
    this.#host = host;
    this.#faults = faults;
  }

  async start(known: readonly Endpoint[]): Promise<StartedNetworks> {
    this.#started = true;
    const before = this.#host.endpoints.size;
    this.#keepOnly(known);
    return { warnings: [], interfacesRemoved: this.#host.endpoints.size < before };
  }

  #keepOnly(known: readonly Endpoint[]): void {
    const { endpoints } = this.#host;
    for (const id of endpoints.keys()) if (!known.some(({ endpointId }) => endpointId === id)) endpoints.delete(id);
    for (const endpoint of known) endpoints.set(endpoint.endpointId, endpoint);
  }

  get drivers(): readonly string[] {
    return ["bridge", "host", "null"];
  }

  list(): readonly NetworkInfo[] {
    return [...this.#host.networks.values()];
  }

  find(nameOrId: string): NetworkInfo | undefined {
    const all = this.list();
    const exact = all.find(({ id, name }) => id === nameOrId || name === nameOrId);
    const byPrefix = nameOrId === "" ? [] : all.filter(({ id }) => id.startsWith(nameOrId));
    return exact ?? (byPrefix.length === 1 ? byPrefix[0] : undefined);
  }

  defaultNetwork(): NetworkInfo | undefined {
    return this.list().find(({ driver }) => driver === "bridge");
  }

  async create({
    name,
    driver,
    pools,
    internal,
    options,
    labels,
    extension = {},
  }: NetworkSettings): Promise<NetworkInfo> {
    this.#mustRun();
    if (!this.drivers.includes(driver)) throw new EngineError("invalid-argument", `there is no driver ${driver}`);
    if (this.list().some((network) => network.name === name))
      throw new EngineError("conflict", `network with name ${name} already exists`);
    const taken = this.list().flatMap((network) => network.pools.map(({ subnet }) => parseCidr(subnet)!.subnet));
    for (const { subnet } of pools.map((pool) => parseCidr(pool.subnet)!)) {
      if (taken.some((other) => overlaps(other, subnet))) throw new EngineError("forbidden", "the subnet is taken");
      taken.push(subnet);
    }
    const id = randomId();
    const prefix = [...Array(14).keys()]
      .map((index) => `172.${18 + index}`)
      .find(
        (candidate) => !this.list().some((network) => network.pools.some(({ subnet }) => subnet.startsWith(candidate))),
      );
    const plain = row({ id, name, driver, builtin: false, prefix: pools.length === 0 ? prefix : undefined });
    const chosen = pools.map(({ family, subnet, gateway }) => ({
      family,
      subnet,
      gateway: gateway ?? formatIpv4(parseCidr(subnet)!.subnet.address + 1),
    }));
    const network = {
      ...plain,
      internal,
      options,
      labels,
      extension,
      pools: pools.length === 0 ? plain.pools : chosen,
    };
    this.#host.networks.set(id, network);
    return network;
  }

  async remove(id: string): Promise<void> {
    const network = this.#host.networks.get(id);
    if (network === undefined) throw new EngineError("not-found", `network ${id} not found`);
    if (network.builtin) throw new EngineError("forbidden", `${network.name} cannot be removed`);
    if (this.endpoints(id).length > 0) throw new EngineError("conflict", `${network.name} has active endpoints`);
    this.#host.networks.delete(id);
  }

  endpoints(networkId: string): readonly Endpoint[] {
    return [...this.#host.endpoints.values()].filter((endpoint) => endpoint.networkId === networkId);
  }

  sandbox(request: SandboxRequest): Sandbox {
    return this.#faults.wrap("sandbox", new FakeSandbox(this.#host, () => this.#mustRun(), request));
  }

  prepareLink(network: string): PreparedLink | undefined {
    this.#mustRun();
    const info = this.find(network);
    return info?.driver === "bridge"
      ? { networkId: info.id, hostInterface: "veth0", interfaceName: "eth0", index: 2 }
      : undefined;
  }

  async stop(): Promise<void> {
    this.#started = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #mustRun(): void {
    if (!this.#started) throw new EngineError("internal", "networks are used before their start or after their stop");
  }
}

class FakeSandbox implements Sandbox {
  readonly #host: FakeHost;
  readonly #mustRun: () => void;
  readonly #request: SandboxRequest;

  constructor(host: FakeHost, mustRun: () => void, request: SandboxRequest) {
    this.#host = host;
    this.#mustRun = mustRun;
    this.#request = request;
  }

  get endpoints(): readonly Endpoint[] {
    const { containerId } = this.#request;
    return [...this.#host.endpoints.values()].filter((endpoint) => endpoint.containerId === containerId);
  }

  gateway(family: Family): Endpoint | undefined {
    return gatewayOf(this.endpoints, family);
  }

  get addresses(): readonly string[] {
    return ownAddresses(this.endpoints);
  }

  async connect(networkId: string, settings: EndpointSettings = {}): Promise<Endpoint | undefined> {
    this.#mustRun();
    const network = this.#host.networks.get(networkId);
    if (network === undefined) throw new EngineError("not-found", `network ${networkId} not found`);
    const { containerId, containerName, namespaceFd } = this.#request;
    const [pool] = network.pools;
    if (pool === undefined) return undefined;
    if (namespaceFd === undefined) throw new EngineError("internal", `${containerName} has no network namespace`);
    checkEndpointSettings(network, settings);
    if (this.endpoints.some((endpoint) => endpoint.networkId === networkId))
      throw new EngineError("conflict", `${containerName} already exists in network ${network.name}`);
    const draft: Endpoint = {
      endpointId: randomId(),
      networkId,
      networkName: network.name,
      containerId,
      interfaceName: freeInterfaceName(this.endpoints.map(({ interfaceName }) => interfaceName)),
      hostInterface: "veth0",
      macAddress: settings.macAddress ?? "02:42:ac:11:00:02",
      addresses: [{ family: "ipv4", address: this.#address(network, settings), prefixLength: 16 }],
      gateways: network.internal ? {} : { ipv4: pool.gateway },
      gatewayPriority: settings.gatewayPriority ?? 0,
      names: settings.names ?? [],
      ports: [],
    };
    if (portsOwner([...this.endpoints, draft]) === draft) this.#mustHavePorts(draft.endpointId);
    this.#host.endpoints.set(draft.endpointId, draft);
    this.#settlePorts();
    return this.#host.endpoints.get(draft.endpointId);
  }

  #address({ pools }: NetworkInfo, { ipv4Address }: EndpointSettings): string {
    const { subnet } = parseCidr(pools[0]!.subnet)!;
    const used = [...this.#host.endpoints.values()].flatMap(({ addresses }) => addresses.map(({ address }) => address));
    if (ipv4Address) {
      if (used.includes(ipv4Address)) throw new EngineError("conflict", "Address already in use");
      return ipv4Address;
    }
    for (let number = subnet.address + 2; contains(subnet, number); number++)
      if (!used.includes(formatIpv4(number))) return formatIpv4(number);
    throw new EngineError("resource-exhausted", "no available IPv4 addresses");
  }

  #mustHavePorts(endpointId: string): void {
    const { containerId, containerName, ports = [] } = this.#request;
    for (const { hostPortFirst: port } of ports)
      for (const other of this.#host.endpoints.values())
        if (port !== 0 && other.containerId !== containerId && other.ports.some(({ hostPort }) => hostPort === port))
          throw new EngineError(
            "conflict",
            `driver failed programming external connectivity on endpoint ${containerName} (${endpointId}): Bind for 0.0.0.0:${port} failed: port is already allocated`,
          );
  }

  #settlePorts(): void {
    const owner = portsOwner(this.endpoints);
    const { ports = [] } = this.#request;
    const bindings = ports.map(({ protocol, containerPort, hostIp, hostPortFirst }) => ({
      protocol,
      containerPort,
      hostIp: hostIp || "0.0.0.0",
      hostPort: hostPortFirst,
    }));
    for (const endpoint of this.endpoints)
      this.#host.endpoints.set(endpoint.endpointId, { ...endpoint, ports: endpoint === owner ? bindings : [] });
  }

  async repair(): Promise<void> {
    this.#mustRun();
    this.#settlePorts();
  }

  async rename(endpointId: string, names: readonly string[]): Promise<Endpoint | undefined> {
    this.#mustRun();
    const endpoint = this.endpoints.find((each) => each.endpointId === endpointId);
    if (endpoint !== undefined) this.#host.endpoints.set(endpointId, { ...endpoint, names });
    return this.#host.endpoints.get(endpointId);
  }

  async disconnect(endpointId: string): Promise<void> {
    this.#mustRun();
    if (this.endpoints.some((endpoint) => endpoint.endpointId === endpointId)) this.#host.endpoints.delete(endpointId);
    this.#settlePorts();
  }

  async close(): Promise<void> {
    this.#mustRun();
    for (const { endpointId } of this.endpoints) this.#host.endpoints.delete(endpointId);
  }
}
