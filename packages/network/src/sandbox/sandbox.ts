/** The network of one container: its endpoints, which of them leads outside, and where its published ports are. */
import { EngineError, messageOf, randomId } from "@fathom/base";
import type {
  Endpoint,
  EndpointAddress,
  EndpointSettings,
  Family,
  PreparedLink,
  Sandbox,
  SandboxRequest,
} from "../contract.ts";
import type { EndpointDraft, JoinedLink, LeftNamespace } from "../driver/driver.ts";
import { formatMac, parseMac } from "../ipam/ip.ts";
import { checkEndpointSettings } from "./endpoint-settings.ts";
import type { Attached } from "./endpoint-table.ts";
import { families, freeInterfaceName, gatewayOf, ownAddresses, portsOwner } from "./gateway.ts";
import { bringLoopbackUp, configureInterface, hasDefaultRoute, moveDefaultRoute } from "./inside.ts";
import { keepNetworks, type LiveNetwork } from "./live-network.ts";
import type { SandboxHost } from "./sandbox-host.ts";
import { SandboxPorts } from "./sandbox-ports.ts";

export class ContainerSandbox implements Sandbox {
  readonly #host: () => SandboxHost;
  readonly #request: SandboxRequest;
  readonly #ports: SandboxPorts;
  /** Until it is used. */
  #prepared: PreparedLink | undefined;

  /** @param host Throws when the networks do not run. */
  constructor(host: () => SandboxHost, request: SandboxRequest) {
    this.#host = host;
    this.#request = request;
    this.#ports = new SandboxPorts(host, request);
    this.#prepared = request.prepared;
  }

  get #attached(): readonly Attached[] {
    return this.#host().table.ofContainer(this.#request.containerId);
  }

  get endpoints(): readonly Endpoint[] {
    return this.#attached.map(({ endpoint }) => endpoint);
  }

  gateway(family: Family): Endpoint | undefined {
    return gatewayOf(this.endpoints, family);
  }

  get addresses(): readonly string[] {
    return ownAddresses(this.endpoints);
  }

  async connect(networkId: string, settings: EndpointSettings = {}): Promise<Endpoint | undefined> {
    const host = this.#host();
    const { sys, table } = host;
    const { containerName, namespaceFd } = this.#request;
    const network = host.networks.get(networkId) ?? (await host.networks.opened(networkId));
    using _ = keepNetworks([network]);
    const { driven } = network;
    if (!network.capabilities.endpoints) {
      if (namespaceFd !== undefined) bringLoopbackUp(sys, namespaceFd);
      return undefined;
    }
    if (namespaceFd === undefined)
      throw new EngineError("internal", `container ${containerName} has no network namespace to be connected in`);
    checkEndpointSettings(network.info, settings);
    const others = this.endpoints;
    if (others.some((endpoint) => endpoint.networkId === networkId))
      throw new EngineError(
        "conflict",
        `endpoint with name ${containerName} already exists in network ${network.info.name}`,
      );
    driven.repair(() => table.ofNetwork(networkId).map(({ hostInterface }) => hostInterface));
    host.firewall.repair();

    // When a later step fails, everything that was acquired is released in reverse order.
    await using undo = new AsyncDisposableStack();
    const { draft: reserved, mac } = await this.#reserve(network, settings, undo);
    // Ports first: a taken one is noticed before anything is made.
    const isFirstOwner = portsOwner([...others, reserved]) === reserved && this.#ports.holder() === undefined;
    const lease = isFirstOwner ? this.#ports.lease(network, reserved) : undefined;
    if (lease !== undefined) this.#onFailure(undo, async () => lease[Symbol.dispose]());

    const link = await this.#join(network, reserved, namespaceFd, { others, wantedName: settings.interfaceName });
    this.#onFailure(undo, () =>
      driven.leave({ ...reserved, interfaceName: link.name, hostInterface: link.hostInterface }, this.#stays()),
    );
    const draft =
      link.gateways === undefined || network.info.internal ? reserved : { ...reserved, gateways: link.gateways };
    const gained = families.filter((family) => gatewayOf([...others, draft], family) === draft);
    const first = gained.filter((family) => gatewayOf(others, family) === undefined);
    const gateways = Object.fromEntries(first.map((family) => [family, draft.gateways[family]]));
    const { sysctls = [], linkLocalAddresses = [] } = settings;
    const addresses = [...draft.addresses, ...linkLocalAddresses.map(linkLocal)];
    configureInterface(sys, namespaceFd, { ...link, mac, addresses, gateways, sysctls });

    const endpoint: Endpoint = {
      ...draft,
      interfaceName: link.name,
      hostInterface: link.hostInterface,
      macAddress: mac === undefined ? "" : formatMac(mac),
      ports: lease?.bindings ?? [],
    };
    // Until now these leave through another endpoint.
    for (const family of gained.filter((each) => !first.includes(each))) {
      this.#onFailure(undo, async () => this.#route(family, gatewayOf(others, family)));
      this.#route(family, endpoint);
    }
    if (lease !== undefined) {
      host.publisher.publish(endpoint, lease);
      this.#onFailure(undo, () => host.publisher.unpublish(endpoint, lease.bindings));
    }
    if (others.length === 0) this.#onFailure(undo, () => this.#releaseNames());
    this.#onFailure(undo, async () => host.names?.remove(endpoint));
    table.set({ endpoint, lease });
    this.#onFailure(undo, async () => void table.delete(endpoint.endpointId));
    await this.#ports.settle(this.#ports.holder());
    await host.names?.add(endpoint, namespaceFd);
    undo.move();
    return table.get(endpoint.endpointId)!.endpoint;
  }

  /** Addresses and the driver's data of the endpoint; nothing of it is in the kernel yet. */
  async #reserve(
    { info, driven, addresses: pools }: LiveNetwork,
    { ipv4Address, ipv6Address, macAddress, gatewayPriority = 0, names = [], links }: EndpointSettings,
    undo: AsyncDisposableStack,
  ): Promise<{ readonly draft: EndpointDraft; readonly mac: Uint8Array | undefined }> {
    const { containerId } = this.#request;
    const wanted = [ipv4Address, ipv6Address].flatMap((address) => address || []);
    const addresses = await pools.request(containerId, wanted);
    this.#onFailure(undo, () => pools.release(addresses, containerId));
    const draft: EndpointDraft = {
      endpointId: randomId(),
      networkId: info.id,
      networkName: info.name,
      containerId,
      addresses,
      gateways: info.internal ? {} : pools.gatewaysOf(addresses),
      gatewayPriority,
      names,
      ...(links === undefined ? {} : { links }),
    };
    const requested = { macAddress: macAddress === undefined ? undefined : parseMac(macAddress) };
    const chosen = await driven.createEndpoint(draft, requested);
    this.#onFailure(undo, () => driven.deleteEndpoint(draft));
    return { draft, mac: requested.macAddress ?? chosen.macAddress };
  }

  /** The first error is the one to report. */
  #onFailure(undo: AsyncDisposableStack, action: () => Promise<unknown>): void {
    undo.defer(() =>
      action().then(
        () => undefined,
        (error: unknown) =>
          this.#host().logger.warn("undoing a connection to a network failed", {
            error: messageOf(error),
            id: this.#request.containerId,
          }),
      ),
    );
  }

  async #join(
    { driven }: LiveNetwork,
    endpoint: EndpointDraft,
    namespaceFd: number,
    { others, wantedName }: { readonly others: readonly Endpoint[]; readonly wantedName: string | undefined },
  ): Promise<JoinedLink & { readonly name: string }> {
    const waiting = this.#prepared;
    const isFit = wantedName === undefined || wantedName === waiting?.interfaceName;
    const prepared = waiting?.networkId === endpoint.networkId && isFit ? waiting : undefined;
    // An interface that waits for another network already has its name.
    const taken = [
      ...others.map(({ interfaceName }) => interfaceName),
      ...(waiting === undefined || waiting === prepared ? [] : [waiting.interfaceName]),
    ];
    if (wantedName !== undefined && taken.includes(wantedName))
      throw new EngineError("conflict", `interface name ${wantedName} is already in use in the container`);
    const name = wantedName ?? prepared?.interfaceName ?? freeInterfaceName(taken, driven.interfacePrefix);
    const link = await driven.join({ endpoint, namespaceFd, interfaceName: name, prepared });
    if (prepared !== undefined) this.#prepared = undefined;
    return { ...link, name };
  }

  /** From now on the default route uses `endpoint`. */
  #route(family: Family, endpoint: Endpoint | undefined): void {
    const gateway = endpoint?.gateways[family];
    const { namespaceFd } = this.#request;
    if (endpoint !== undefined && gateway !== undefined && namespaceFd !== undefined)
      moveDefaultRoute(this.#host().sys, namespaceFd, endpoint.interfaceName, gateway);
  }

  async disconnect(endpointId: string): Promise<void> {
    const attached = this.#attached.find(({ endpoint }) => endpoint.endpointId === endpointId);
    if (attached === undefined) return;
    const { endpoint } = attached;
    using _ = this.#keepNetworks();
    const failures: unknown[] = [];
    // If another program removed rules, they are restored before the ports move.
    if (this.#ports.holder() !== undefined) await attempt(failures, async () => this.#host().firewall.repair());
    const all = this.endpoints;
    // The table first: a service of names that begins again meanwhile gets its names from there.
    this.#host().table.delete(endpointId);
    await attempt(failures, async () => this.#host().names?.remove(endpoint));
    const rest = this.endpoints;
    const holder = attached.lease === undefined ? this.#ports.holder() : attached;
    const before = failures.length;
    await attempt(failures, () => this.#ports.settle(holder));
    // If the next gateway could not get them, nobody has them.
    if (failures.length > before && holder === attached) await attempt(failures, () => this.#ports.release(attached));
    for (const family of families)
      if (gatewayOf(all, family) === endpoint)
        await attempt(failures, async () => this.#route(family, gatewayOf(rest, family)));
    await this.#removeEndpoint(endpoint, this.#stays(), failures);
    throwAll(failures, `disconnecting from network ${endpoint.networkName} failed`);
  }

  async repair(): Promise<void> {
    const { sys } = this.#host();
    const { namespaceFd } = this.#request;
    if (namespaceFd === undefined) return;
    for (const family of families) {
      const gateway = this.gateway(family);
      if (gateway !== undefined && !hasDefaultRoute(sys, namespaceFd, family)) this.#route(family, gateway);
    }
    if (this.#ports.holder() === undefined) await this.#ports.settle(undefined);
  }

  async rename(endpointId: string, names: readonly string[]): Promise<Endpoint | undefined> {
    const { table, names: service, logger } = this.#host();
    const attached = table.get(endpointId);
    if (attached === undefined) return undefined;
    const endpoint = { ...attached.endpoint, names };
    // The table first: a service that has ended gets the names from there when it begins again.
    table.set({ ...attached, endpoint });
    try {
      await service?.rename(endpoint);
    } catch (error) {
      logger.warn("a container is found by its former name until its resolver is started again", {
        error: messageOf(error),
        id: endpoint.containerId,
      });
    }
    return table.get(endpointId)?.endpoint;
  }

  async #releaseNames(): Promise<void> {
    await this.#host().names?.release(this.#request.containerId);
  }

  async close(): Promise<void> {
    using _ = this.#keepNetworks();
    const failures: unknown[] = [];
    const all = this.#attached;
    // The table first, as in `disconnect`.
    for (const { endpoint } of all) this.#host().table.delete(endpoint.endpointId);
    for (const { endpoint } of all) await attempt(failures, async () => this.#host().names?.remove(endpoint));
    await attempt(failures, () => this.#releaseNames());
    for (const attached of all) {
      const { endpoint, lease } = attached;
      if (lease !== undefined) await attempt(failures, () => this.#ports.release(attached));
      await this.#removeEndpoint(endpoint, { kind: "ends" }, failures);
    }
    throwAll(failures, "detaching a network failed");
  }

  /** The endpoints leave the table before their parts are removed: until then nobody may remove their networks. */
  #keepNetworks(): Disposable {
    const { networks } = this.#host();
    return keepNetworks(this.endpoints.flatMap(({ networkId }) => networks.get(networkId) ?? []));
  }

  #stays(): LeftNamespace {
    return { kind: "stays", fd: this.#request.namespaceFd };
  }

  async #removeEndpoint(endpoint: Endpoint, namespace: LeftNamespace, failures: unknown[]): Promise<void> {
    const { networks } = this.#host();
    // A network that is not open gave out no address, and the interface ends with the namespace.
    const network = networks.get(endpoint.networkId);
    if (network === undefined && namespace.kind === "ends") return;
    await attempt(failures, async () => {
      const { driven, addresses } = network ?? (await networks.opened(endpoint.networkId));
      await attempt(failures, () => driven.leave(endpoint, namespace));
      await attempt(failures, () => driven.deleteEndpoint(endpoint));
      await attempt(failures, () => addresses.release(endpoint.addresses, endpoint.containerId));
    });
  }
}

/** An address that is valid on the link alone. */
function linkLocal(address: string): EndpointAddress {
  return address.includes(":")
    ? { family: "ipv6", address, prefixLength: 64 }
    : { family: "ipv4", address, prefixLength: 16 };
}

async function attempt(failures: unknown[], action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    failures.push(error);
  }
}

function throwAll(failures: readonly unknown[], message: string): void {
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, message);
}
