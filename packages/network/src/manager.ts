/** The default networks of an engine: `bridge` with its interface, rules and addresses, and the rows of `host` and `none`. */
import {
  EngineError,
  formatRfc3339Nano,
  messageOf,
  randomId,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
} from "@fathom/base";
import type { Sys } from "@fathom/sys";
import { defaultRouteMtu, ensureBridge, findLink, listRoutes } from "./driver/bridge-link.ts";
import type {
  AttachNetworkRequest,
  Endpoint,
  NetworkConfig,
  NetworkInfo,
  Networks,
  NetworkState,
  PreparedLink,
} from "./contract.ts";
import {
  bridgeOptions,
  checkEndpointSettings,
  chooseBridgeAddress,
  networkOfEndpoint,
  networkRow,
} from "./default-network.ts";
import { bringLoopbackUp, configureLink, prepareLink, removeLink, type LinkSettings } from "./driver/veth.ts";
import { Firewall } from "./firewall/firewall.ts";
import { formatIpv4, formatMac, macFromIpv4, parseIpv4, parseMac } from "./ipam/ip.ts";
import { ForwarderKeeper } from "./ports/forwarder-keeper.ts";
import type { Forwarders } from "./ports/forwarders.ts";
import { ephemeralRange, filtersBridgedPackets, hasIpv6, setForwarding } from "./host/host-settings.ts";
import { AddressPool } from "./ipam/pool.ts";
import { cleanLinks, LeavingLinks } from "./driver/leftover-links.ts";
import { NETLINK_ROUTE, NetlinkConnection } from "./netlink/connection.ts";
import { deleteLink } from "./netlink/route.ts";
import { isForwarded, PortAllocator, type PortLease } from "./ports/port-allocator.ts";
import { createReserver } from "./ports/reserver.ts";
import { publishedPorts, type FirewallNetwork, type PublishedPort } from "./firewall/ruleset.ts";

export type NetworkSys = Pick<
  Sys,
  | "openNetlink"
  | "netlinkTransact"
  | "withNetworkNamespace"
  | "reservePort"
  | "listenPort"
  | "open"
  | "read"
  | "write"
  | "close"
>;

export interface NetworkDependencies {
  readonly sys: NetworkSys;
  readonly config: NetworkConfig;
  readonly state: NetworkState;
  /** Absent: no port is published on an IPv6 address. */
  readonly forwarders?: Forwarders;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

export function createNetworks(dependencies: NetworkDependencies): Networks {
  return new DefaultNetworks(dependencies);
}

interface Attached {
  readonly endpoint: Endpoint;
  readonly lease: PortLease;
}

/** What exists between start and stop. */
interface Running {
  readonly route: NetlinkConnection;
  readonly info: NetworkInfo;
  readonly bridgeIndex: number;
  readonly link: LinkSettings;
  readonly pool: AddressPool;
  readonly ports: PortAllocator;
  readonly rules: FirewallNetwork;
  readonly leaving: LeavingLinks;
}

class DefaultNetworks implements Networks {
  readonly #sys: NetworkSys;
  readonly #config: NetworkConfig;
  readonly #state: NetworkState;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #forwarders: Forwarders | undefined;
  readonly #keeper: ForwarderKeeper | undefined;
  readonly #attached = new Map<string, Attached>();
  /** Host interfaces that wait for their container. */
  readonly #prepared = new Set<string>();
  #current: Running | undefined;
  /** Absent where the kernel cannot do it; then `#firewallProblem` says why. */
  #firewall: Firewall | undefined;
  #firewallProblem = "";

  constructor({ sys, config, state, forwarders, clock = systemClock, logger = silentLogger }: NetworkDependencies) {
    this.#sys = sys;
    this.#config = config;
    this.#state = state;
    this.#forwarders = forwarders;
    this.#keeper = forwarders === undefined ? undefined : new ForwarderKeeper(forwarders, clock, logger);
    this.#clock = clock;
    this.#logger = logger;
  }

  async start(known: readonly Endpoint[]): Promise<{ readonly warnings: readonly string[] }> {
    const warnings: string[] = [];
    const forwarding = setForwarding(this.#sys, this.#config.ipForward);
    warnings.push(...forwarding.warnings);
    const route = new NetlinkConnection(this.#sys, NETLINK_ROUTE);
    try {
      this.#current = this.#setUp(route, known, warnings);
    } catch (error) {
      route.close();
      throw error;
    }
    this.#restore(known, warnings);
    this.#installFirewall(forwarding.turnedOn, warnings);
    this.#cleanLinks(known);
    await this.#endStaleForwarders();
    return { warnings };
  }

  #setUp(route: NetlinkConnection, known: readonly Endpoint[], warnings: string[]): Running {
    const { bridgeName: name } = this.#config;
    this.#saveRow({ name: "host", driver: "host" });
    this.#saveRow({ name: "none", driver: "null" });
    this.#keepNetworkInUse(known, warnings);

    const routes = listRoutes(route);
    const own = findLink(route, name)?.index;
    const routed = routes.filter(({ destination, linkIndex }) => destination.prefixLength > 0 && linkIndex !== own);
    const before = this.#state.networks().find((network) => network.name === "bridge");
    const { gateway, subnet, warning } = chooseBridgeAddress(
      this.#config,
      before,
      routed.map(({ destination }) => destination),
      known.some((endpoint) => endpoint.networkId === before?.id),
    );
    if (warning !== undefined) warnings.push(warning);
    const mtu = this.#config.mtu > 0 ? this.#config.mtu : (defaultRouteMtu(route, routes) ?? 1500);
    const options = bridgeOptions(this.#config, mtu);
    const info = this.#saveRow({ name: "bridge", driver: "bridge", address: { gateway, subnet }, options });
    const bridgeIndex = ensureBridge(route, this.#sys, { name, gateway, subnet, mtu });

    const openBetween = this.#config.interContainerCommunication;
    const rules = { bridge: name, interContainer: openBetween, masquerade: this.#config.ipMasquerade, internal: false };
    // With this on, bridged packets pass the rule set. A redirected one may then have to leave by the port that it came in by, and the rule
    // set keeps containers apart; with it off, the bridge does.
    const filtered = filtersBridgedPackets(this.#sys);
    return {
      route,
      info,
      bridgeIndex,
      link: { bridgeIndex, mtu, hairpin: filtered, isolated: !openBetween && !filtered },
      pool: new AddressPool(subnet, gateway, () => this.#clock.monotonicMs()),
      ports: new PortAllocator(
        createReserver(this.#sys, this.#forwarders !== undefined && this.#config.userlandProxy && hasIpv6(this.#sys)),
        () => ephemeralRange(this.#sys),
        this.#config.defaultBindAddress,
      ),
      rules,
      leaving: new LeavingLinks(route, bridgeIndex, this.#logger),
    };
  }

  /** What runs in a network that has no row keeps it: another one would give its addresses away, and take its links for leftovers. */
  #keepNetworkInUse(known: readonly Endpoint[], warnings: string[]): void {
    const rows = this.#state.networks();
    const row = rows.find(({ name }) => name === "bridge");
    if (known.some(({ networkId }) => networkId === row?.id)) return;
    const lost = known.find(({ networkId }) => rows.every(({ id }) => id !== networkId));
    const found = lost === undefined ? undefined : networkOfEndpoint(lost, formatRfc3339Nano(this.#clock.nowNs()));
    if (found === undefined) return;
    if (row !== undefined) this.#state.removeNetwork(row.id);
    this.#state.saveNetwork(found);
    warnings.push(
      `the network bridge ${found.id} was not in the database and is taken up from the containers that run in it`,
    );
  }

  #saveRow(network: Parameters<typeof networkRow>[2]): NetworkInfo {
    const before = this.#state.networks().find(({ name }) => name === network.name);
    const info = networkRow(before, formatRfc3339Nano(this.#clock.nowNs()), network);
    if (JSON.stringify(before) !== JSON.stringify(info)) this.#state.saveNetwork(info);
    return info;
  }

  /** Takes addresses and ports of running containers again. */
  #restore(known: readonly Endpoint[], warnings: string[]): void {
    const { info, pool, ports } = this.#running();
    for (const endpoint of known) {
      if (endpoint.networkId !== info.id || this.#attached.has(endpoint.endpointId)) continue;
      const container = `container ${endpoint.containerId.slice(0, 12)}`;
      const address = parseIpv4(endpoint.ipv4Address);
      try {
        if (address !== undefined) pool.take(address);
      } catch (error) {
        warnings.push(`${container}: its address ${endpoint.ipv4Address} cannot be kept: ${messageOf(error)}`);
      }
      const forwarded = endpoint.ports.some(isForwarded) && this.#forwarders?.runs(endpoint.endpointId) === true;
      const { lease, refused } = ports.restore(endpoint.ports, endpoint.ipv4Address, forwarded);
      warnings.push(...refused.map((reason) => `${container}: ${reason}`));
      this.#attached.set(endpoint.endpointId, { endpoint, lease });
      try {
        this.#forward(endpoint.endpointId, lease);
      } catch (error) {
        warnings.push(`${container}: its ports do not answer on IPv6: ${messageOf(error)}`);
      }
      this.#keepForwarder(endpoint);
    }
  }

  /** Starts the forwarder of an endpoint that needs one. */
  #forward(endpointId: string, lease: PortLease): void {
    if (lease.listeners.length === 0) return;
    this.#forwarders?.start(endpointId, lease.listeners);
    lease.handOver();
  }

  #keepForwarder({ endpointId, containerId, ports, ipv4Address }: Endpoint): void {
    if (!ports.some(isForwarded)) return;
    this.#keeper?.keep(endpointId, containerId, () => this.#running().ports.reopen(ports, ipv4Address));
  }

  /** Ends the forwarders of endpoints that are no more: of containers that were removed, or whose start was interrupted. */
  async #endStaleForwarders(): Promise<void> {
    for (const endpointId of this.#forwarders?.list() ?? [])
      if (!this.#attached.has(endpointId)) await this.#endForwarder(endpointId);
  }

  async #endForwarder(endpointId: string): Promise<void> {
    this.#keeper?.letGo(endpointId);
    try {
      await this.#forwarders?.end(endpointId);
    } catch (error) {
      this.#logger.error("a forwarder does not end", { error, endpoint: endpointId });
    }
  }

  #installFirewall(forwardingTurnedOn: boolean, warnings: string[]): void {
    const published = [...this.#attached.values()].flatMap(({ endpoint }) => portsOf(endpoint));
    let firewall: Firewall | undefined;
    try {
      firewall = new Firewall(this.#sys, this.#config.bridgeName, this.#logger);
      warnings.push(...firewall.install([this.#running().rules], published, forwardingTurnedOn).warnings);
      this.#firewall = firewall;
    } catch (error) {
      firewall?.[Symbol.dispose]();
      this.#firewallProblem = messageOf(error);
      warnings.push(
        `no firewall rules: containers reach nothing outside and no port can be published (nf_tables with nat, masq, ct and fib is needed: ${this.#firewallProblem})`,
      );
    }
  }

  /** Puts the table back when someone else took it away, with all that is published. */
  #repairFirewall(): void {
    if (this.#firewall === undefined || this.#firewall.isInstalled()) return;
    this.#logger.warn("the nf_tables table of this engine was removed by someone else and is put back");
    const published = [...this.#attached.values()].flatMap(({ endpoint }) => portsOf(endpoint));
    this.#firewall.install([this.#running().rules], published, false);
  }

  /** Makes the bridge anew when someone else took it away, with the containers that were plugged into it. */
  #repairBridge(): void {
    const running = this.#running();
    const { route, link, pool, leaving } = running;
    const name = this.#config.bridgeName;
    if (findLink(route, name)?.index === running.bridgeIndex) return;
    this.#logger.warn("the bridge of this engine was removed by someone else and is put back", { bridge: name });
    const bridgeIndex = ensureBridge(route, this.#sys, {
      name,
      gateway: pool.gateway,
      subnet: pool.subnet,
      mtu: link.mtu,
    });
    leaving.sweep();
    this.#current = {
      ...running,
      bridgeIndex,
      link: { ...link, bridgeIndex },
      leaving: new LeavingLinks(route, bridgeIndex, this.#logger),
    };
    this.#cleanLinks([...this.#attached.values()].map(({ endpoint }) => endpoint));
  }

  #cleanLinks(known: readonly Endpoint[]): void {
    const { route, link, info } = this.#running();
    const ours = known.filter((endpoint) => endpoint.networkId === info.id).map((endpoint) => endpoint.hostInterface);
    for (const name of this.#prepared) if (findLink(route, name) === undefined) this.#prepared.delete(name);
    cleanLinks(route, link, new Set([...ours, ...this.#prepared]), this.#logger);
  }

  list(): readonly NetworkInfo[] {
    return this.#state.networks();
  }

  find(nameOrId: string): NetworkInfo | undefined {
    const all = this.#state.networks();
    const exact = all.find(({ id }) => id === nameOrId) ?? all.find(({ name }) => name === nameOrId);
    if (exact !== undefined || nameOrId === "") return exact;
    const byPrefix = all.filter(({ id }) => id.startsWith(nameOrId));
    return byPrefix.length === 1 ? byPrefix[0] : undefined;
  }

  async attach(request: AttachNetworkRequest): Promise<Endpoint> {
    this.#repairBridge();
    const { route, info, link: linkSettings, pool, leaving } = this.#running();
    if (request.networkId !== info.id) throw new EngineError("not-found", `network ${request.networkId} not found`);
    checkEndpointSettings(info, request);
    const mac = request.macAddress === undefined ? undefined : parseMac(request.macAddress);
    this.#repairFirewall();
    if (request.ports.length > 0 && this.#firewall === undefined)
      throw new EngineError("unavailable", `ports cannot be published: ${this.#firewallProblem}`);

    // Whatever is acquired is given back in reverse when a later step fails.
    await using stack = new AsyncDisposableStack();
    const endpointId = randomId();
    const address = pool.allocate(request.containerId);
    stack.defer(() => pool.release(address, request.containerId));
    const lease = stack.use(this.#takePorts(request, endpointId, formatIpv4(address)));
    const link = request.prepared ?? prepareLink(route, linkSettings, request.namespaceFd, request.interfaceName);
    this.#prepared.delete(link.hostInterface);
    stack.defer(() => {
      try {
        removeLink(route, link.hostInterface);
      } catch {
        // The error that brought us here is the one to tell; this is tried again.
        leaving.add(link.hostInterface);
      }
    });
    const macAddress = mac ?? macFromIpv4(address);
    configureLink(this.#sys, request.namespaceFd, link, {
      mac: macAddress,
      address,
      subnet: pool.subnet,
      ...(request.isDefaultGateway ? { gateway: pool.gateway } : {}),
    });
    this.#firewall?.addPorts(publishedPorts(lease.bindings, address));
    this.#forward(endpointId, lease);
    const endpoint: Endpoint = {
      endpointId,
      networkId: info.id,
      containerId: request.containerId,
      interfaceName: request.interfaceName,
      hostInterface: link.hostInterface,
      macAddress: formatMac(macAddress),
      ipv4Address: formatIpv4(address),
      ipv4PrefixLength: pool.subnet.prefixLength,
      gateway: formatIpv4(pool.gateway),
      ports: lease.bindings,
    };
    this.#attached.set(endpointId, { endpoint, lease });
    this.#keepForwarder(endpoint);
    stack.move();
    return endpoint;
  }

  #takePorts(request: AttachNetworkRequest, endpointId: string, containerAddress: string): PortLease {
    try {
      return this.#running().ports.allocate(request.ports, containerAddress);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw new EngineError(
        error.code,
        `driver failed programming external connectivity on endpoint ${request.endpointName} (${endpointId}): ${error.message}`,
        { cause: error },
      );
    }
  }

  prepareLink(namespaceFd: number, interfaceName: string): PreparedLink {
    this.#repairBridge();
    const { route, link } = this.#running();
    const prepared = prepareLink(route, link, namespaceFd, interfaceName);
    this.#prepared.add(prepared.hostInterface);
    return prepared;
  }

  loopbackUp(namespaceFd: number): void {
    bringLoopbackUp(this.#sys, namespaceFd);
  }

  async detach(endpoint: Endpoint): Promise<void> {
    const { pool, leaving } = this.#running();
    const attached = this.#attached.get(endpoint.endpointId);
    this.#attached.delete(endpoint.endpointId);
    this.#firewall?.removePorts(portsOf(endpoint));
    if (endpoint.ports.some(isForwarded)) await this.#endForwarder(endpoint.endpointId);
    attached?.lease[Symbol.dispose]();
    const address = parseIpv4(endpoint.ipv4Address);
    // An endpoint that is not known any more must not give another's address free.
    if (attached !== undefined && address !== undefined) pool.release(address, endpoint.containerId);
    leaving.add(endpoint.hostInterface);
  }

  endpoints(networkId: string): readonly Endpoint[] {
    return [...this.#attached.values()]
      .map(({ endpoint }) => endpoint)
      .filter((endpoint) => endpoint.networkId === networkId);
  }

  async reconcile(known: readonly Endpoint[]): Promise<void> {
    const warnings: string[] = [];
    const wanted = new Set(known.map((endpoint) => endpoint.endpointId));
    const stale = [...this.#attached.values()].filter(({ endpoint }) => !wanted.has(endpoint.endpointId));
    for (const { endpoint } of stale) await this.detach(endpoint);
    this.#restore(known, warnings);
    this.#firewall?.[Symbol.dispose]();
    this.#firewall = undefined;
    this.#installFirewall(false, warnings);
    this.#cleanLinks(known);
    for (const warning of warnings) this.#logger.warn(warning);
  }

  async stop(keepRunning: boolean): Promise<void> {
    const running = this.#current;
    if (running === undefined) return;
    this.#keeper?.letAllGo();
    running.leaving.sweep();
    if (!keepRunning && this.#attached.size === 0) {
      this.#firewall?.uninstall();
      running.route.send([deleteLink(running.bridgeIndex)], ["ENODEV"]);
    }
    for (const { lease } of this.#attached.values()) lease[Symbol.dispose]();
    this.#attached.clear();
    this.#firewall?.[Symbol.dispose]();
    this.#firewall = undefined;
    running.route.close();
    this.#current = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(true);
  }

  #running(): Running {
    if (this.#current === undefined)
      throw new EngineError("internal", "networks are used before their start or after their stop");
    return this.#current;
  }
}

function portsOf(endpoint: Endpoint): PublishedPort[] {
  const address = parseIpv4(endpoint.ipv4Address);
  return address === undefined ? [] : publishedPorts(endpoint.ports, address);
}
