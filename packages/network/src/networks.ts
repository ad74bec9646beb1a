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
import { defaultRouteMtu, ensureBridge, findLink, listPorts, listRoutes } from "./bridge.ts";
import type { AttachNetworkRequest, Endpoint, NetworkConfig, NetworkInfo, Networks, NetworkState } from "./contract.ts";
import { bringLoopbackUp, configureLink, prepareLink, removeLink, type PreparedLink } from "./endpoint-link.ts";
import { Firewall } from "./firewall.ts";
import {
  contains,
  formatIpv4,
  formatMac,
  formatSubnet,
  macFromIpv4,
  overlaps,
  parseCidr,
  parseIpv4,
  parseMac,
  type Ipv4,
  type Subnet,
} from "./ip.ts";
import { AddressPool, chooseSubnet } from "./ipam.ts";
import { NETLINK_ROUTE, NetlinkConnection } from "./netlink/connection.ts";
import type { Link, Route } from "./netlink/route-decode.ts";
import { changeLink, deleteLink } from "./netlink/route.ts";
import { PortAllocator, parseEphemeralRange, type PortLease } from "./port-allocator.ts";
import { readProc, writeProc } from "./proc.ts";
import { createReserver } from "./reserver.ts";
import { publishedPorts, type FirewallNetwork } from "./ruleset.ts";

export type NetworkSys = Pick<
  Sys,
  "openNetlink" | "netlinkTransact" | "withNetworkNamespace" | "reservePort" | "open" | "read" | "write" | "close"
>;

export interface NetworkDependencies {
  readonly sys: NetworkSys;
  readonly config: NetworkConfig;
  readonly state: NetworkState;
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

/** The running default bridge. */
interface Bridge {
  readonly info: NetworkInfo;
  readonly index: number;
  readonly mtu: number;
  readonly pool: AddressPool;
  readonly firewallNetwork: FirewallNetwork;
}

/** After this long the kernel should have removed the interface of an ended container; then it is deleted by hand. */
const lingerMs = 300;

class DefaultNetworks implements Networks {
  readonly #sys: NetworkSys;
  readonly #config: NetworkConfig;
  readonly #state: NetworkState;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #attached = new Map<string, Attached>();
  /** Host interfaces of detached endpoints that may still be there. */
  readonly #leaving = new Set<string>();
  #sweep: ReturnType<typeof setTimeout> | undefined;
  #route: NetlinkConnection | undefined;
  #firewall: Firewall | undefined;
  #firewallProblem = "";
  #ports: PortAllocator | undefined;
  #bridge: Bridge | undefined;
  #hairpin = false;

  constructor({ sys, config, state, clock = systemClock, logger = silentLogger }: NetworkDependencies) {
    this.#sys = sys;
    this.#config = config;
    this.#state = state;
    this.#clock = clock;
    this.#logger = logger;
  }

  async start(known: readonly Endpoint[]): Promise<{ readonly warnings: readonly string[] }> {
    const warnings: string[] = [];
    const route = (this.#route = new NetlinkConnection(this.#sys, NETLINK_ROUTE));
    const turnedOn = this.#setForwarding(warnings);
    this.#row("host", "host", undefined, {});
    this.#row("none", "null", undefined, {});

    const routes = listRoutes(route);
    const { gateway, subnet } = this.#chooseAddress(route, routes, known, warnings);
    const mtu = this.#config.mtu > 0 ? this.#config.mtu : (defaultRouteMtu(route, routes) ?? 1500);
    const info = this.#row("bridge", "bridge", { gateway, subnet }, this.#bridgeOptions(mtu));
    const index = ensureBridge(route, this.#sys, { name: this.#config.bridgeName, gateway, subnet, mtu });
    const firewallNetwork: FirewallNetwork = {
      bridge: this.#config.bridgeName,
      interContainer: this.#config.interContainerCommunication,
      masquerade: this.#config.ipMasquerade,
      internal: false,
    };
    const pool = new AddressPool(subnet, gateway, () => this.#clock.monotonicMs());
    this.#bridge = { info, index, mtu, pool, firewallNetwork };
    // Bridged packets then pass the rule set, and a redirected one may have to leave by the port that it came in by.
    this.#hairpin = readProc(this.#sys, "/proc/sys/net/bridge/bridge-nf-call-iptables")?.trim() === "1";

    const ipv6 = this.#config.userlandProxy && readProc(this.#sys, "/proc/sys/net/ipv6/bindv6only") !== undefined;
    this.#ports = new PortAllocator(
      createReserver(this.#sys, ipv6),
      () =>
        parseEphemeralRange(
          readProc(this.#sys, "/proc/sys/net/ipv4/ip_local_port_range") ?? "",
          readProc(this.#sys, "/proc/sys/net/ipv4/ip_local_reserved_ports") ?? "",
        ),
      this.#config.defaultBindAddress,
    );
    this.#restore(known, warnings);
    this.#installFirewall(turnedOn, warnings);
    this.#cleanLinks(known);
    return { warnings };
  }

  /** @returns true when it was off and is on now. */
  #setForwarding(warnings: string[]): boolean {
    const path = "/proc/sys/net/ipv4/ip_forward";
    if (readProc(this.#sys, path)?.trim() !== "0") return false;
    if (!this.#config.ipForward) {
      warnings.push("IPv4 forwarding is disabled: containers reach nothing outside (set net.ipv4.ip_forward=1)");
      return false;
    }
    writeProc(this.#sys, path, "1");
    warnings.push(
      "IPv4 forwarding was off and is on now (net.ipv4.ip_forward=1); packets between other interfaces of this host are not forwarded",
    );
    return true;
  }

  /** The bridge's address: as configured, as before, or the first free pool. */
  #chooseAddress(
    route: NetlinkConnection,
    routes: readonly Route[],
    known: readonly Endpoint[],
    warnings: string[],
  ): { gateway: Ipv4; subnet: Subnet } {
    const own = findLink(route, this.#config.bridgeName)?.index;
    const used = routes
      .filter(({ destination, linkIndex }) => destination.prefixLength > 0 && linkIndex !== own)
      .map(({ destination }) => destination);
    if (this.#config.bridgeAddress !== undefined) {
      const parsed = parseCidr(this.#config.bridgeAddress);
      if (parsed === undefined || parsed.subnet.prefixLength > 30 || parsed.address === parsed.subnet.address)
        throw new EngineError(
          "invalid-argument",
          `invalid bridge address ${this.#config.bridgeAddress}: an address with a prefix length, as 172.17.0.1/16`,
        );
      const clash = used.find((other) => overlaps(other, parsed.subnet));
      if (clash !== undefined)
        warnings.push(
          `the bridge's subnet ${formatSubnet(parsed.subnet)} overlaps a route of this host to ${formatSubnet(clash)}`,
        );
      return { gateway: parsed.address, subnet: parsed.subnet };
    }
    const before = this.#state.networks().find((network) => network.name === "bridge");
    const subnet = parseCidr(before?.subnet ?? "")?.subnet;
    const gateway = parseIpv4(before?.gateway ?? "");
    if (subnet !== undefined && gateway !== undefined && contains(subnet, gateway)) {
      const clash = used.find((other) => overlaps(other, subnet));
      if (clash === undefined) return { gateway, subnet };
      const inUse = known.some((endpoint) => endpoint.networkId === before?.id);
      warnings.push(
        `a route of this host to ${formatSubnet(clash)} overlaps the bridge's subnet ${formatSubnet(subnet)}` +
          (inUse ? ", which stays because containers run in it" : ": another one is taken"),
      );
      if (inUse) return { gateway, subnet };
    }
    const chosen = chooseSubnet(this.#config.addressPools, used);
    return { gateway: chosen.address + 1, subnet: chosen };
  }

  #bridgeOptions(mtu: number): Readonly<Record<string, string>> {
    return {
      "com.docker.network.bridge.default_bridge": "true",
      "com.docker.network.bridge.enable_icc": String(this.#config.interContainerCommunication),
      "com.docker.network.bridge.enable_ip_masquerade": String(this.#config.ipMasquerade),
      "com.docker.network.bridge.host_binding_ipv4": this.#config.defaultBindAddress,
      "com.docker.network.bridge.name": this.#config.bridgeName,
      "com.docker.network.driver.mtu": String(mtu),
    };
  }

  /** The stored row of a default network, made or brought up to date. */
  #row(
    name: string,
    driver: NetworkInfo["driver"],
    address: { readonly gateway: Ipv4; readonly subnet: Subnet } | undefined,
    options: Readonly<Record<string, string>>,
  ): NetworkInfo {
    const before = this.#state.networks().find((network) => network.name === name);
    const info: NetworkInfo = {
      id: before?.id ?? randomId(),
      name,
      driver,
      createdAt: before?.createdAt ?? formatRfc3339Nano(this.#clock.nowNs()),
      subnet: address === undefined ? undefined : formatSubnet(address.subnet),
      gateway: address === undefined ? undefined : formatIpv4(address.gateway),
      options,
      labels: before?.labels ?? {},
    };
    if (JSON.stringify(before) !== JSON.stringify(info)) this.#state.saveNetwork(info);
    return info;
  }

  /** Takes addresses and ports of running containers again. */
  #restore(known: readonly Endpoint[], warnings: string[]): void {
    const { info, pool } = this.#running();
    for (const endpoint of known) {
      if (endpoint.networkId !== info.id || this.#attached.has(endpoint.endpointId)) continue;
      const address = parseIpv4(endpoint.ipv4Address);
      try {
        if (address !== undefined) pool.take(address);
      } catch (error) {
        warnings.push(
          `address ${endpoint.ipv4Address} of container ${endpoint.containerId.slice(0, 12)}: ${messageOf(error)}`,
        );
      }
      const { lease, refused } = this.#allocator().restore(endpoint.ports, endpoint.ipv4Address);
      warnings.push(...refused.map((reason) => `container ${endpoint.containerId.slice(0, 12)}: ${reason}`));
      this.#attached.set(endpoint.endpointId, { endpoint, lease });
    }
  }

  #installFirewall(turnedOn: boolean, warnings: string[]): void {
    const published = [...this.#attached.values()].flatMap(({ endpoint }) => portsOf(endpoint));
    let firewall: Firewall | undefined;
    try {
      firewall = new Firewall(this.#sys, this.#config.bridgeName, this.#logger);
      warnings.push(...firewall.install([this.#running().firewallNetwork], published, turnedOn).warnings);
      this.#firewall = firewall;
    } catch (error) {
      firewall?.[Symbol.dispose]();
      this.#firewallProblem = messageOf(error);
      warnings.push(
        `no firewall rules: containers reach nothing outside and no port can be published (nf_tables with nat, masq, ct and fib is needed: ${this.#firewallProblem})`,
      );
    }
  }

  /** Deletes ports of the bridge that belong to none, and plugs in again those that lost their bridge. */
  #cleanLinks(known: readonly Endpoint[]): void {
    const { index } = this.#running();
    const route = this.#connection();
    const ours = new Set(known.map((endpoint) => endpoint.hostInterface));
    const ports = listPorts(route, index);
    const leftovers = ports.filter((port) => !ours.has(port.name) && isOurName(port));
    if (leftovers.length > 0) {
      this.#logger.info("removing interfaces of containers that are gone", {
        interfaces: leftovers.map(({ name }) => name),
      });
      route.send(
        leftovers.map((port) => deleteLink(port.index)),
        ["ENODEV"],
      );
    }
    const plugged = new Set(ports.map((port) => port.name));
    for (const name of ours) {
      if (plugged.has(name) || findLink(route, name) === undefined) continue;
      route.send([changeLink(name, { masterIndex: index, up: true })]);
    }
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
    const bridge = this.#running();
    if (request.networkId !== bridge.info.id)
      throw new EngineError("not-found", `network ${request.networkId} not found`);
    const endpointId = randomId();
    const address = this.#takeAddress(bridge, request.ipv4Address);
    const stack = new DisposableStack();
    stack.defer(() => bridge.pool.release(address));
    try {
      const mac = parseMac(request.macAddress ?? macFromIpv4(address));
      if (mac === undefined)
        throw new EngineError("invalid-argument", `${request.macAddress} is not a valid mac address`);
      if (request.ports.length > 0 && this.#firewall === undefined)
        throw new EngineError("unavailable", `ports cannot be published: ${this.#firewallProblem}`);
      const lease = stack.use(this.#allocatePorts(request, endpointId, formatIpv4(address)));
      const link = this.#link(bridge, request.namespaceFd, request.interfaceName);
      stack.defer(() => removeLink(this.#connection(), link.hostInterface));
      configureLink(this.#sys, request.namespaceFd, link, {
        mac,
        address,
        subnet: bridge.pool.subnet,
        ...(request.isDefaultGateway ? { gateway: bridge.pool.gateway } : {}),
      });
      this.#firewall?.addPorts(publishedPorts(lease.bindings, address));
      const endpoint: Endpoint = {
        endpointId,
        networkId: bridge.info.id,
        containerId: request.containerId,
        interfaceName: request.interfaceName,
        hostInterface: link.hostInterface,
        macAddress: formatMac(mac),
        ipv4Address: formatIpv4(address),
        ipv4PrefixLength: bridge.pool.subnet.prefixLength,
        gateway: formatIpv4(bridge.pool.gateway),
        ports: lease.bindings,
      };
      this.#attached.set(endpointId, { endpoint, lease });
      stack.move();
      return endpoint;
    } finally {
      stack.dispose();
    }
  }

  #takeAddress({ pool }: Bridge, asked: string | undefined): Ipv4 {
    if (asked === undefined || asked === "") return pool.allocate();
    const address = parseIpv4(asked);
    if (address === undefined) throw new EngineError("invalid-argument", `invalid IPv4 address: ${asked}`);
    pool.take(address);
    return address;
  }

  #allocatePorts(request: AttachNetworkRequest, endpointId: string, containerAddress: string): PortLease {
    try {
      return this.#allocator().allocate(request.ports, containerAddress);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw new EngineError(
        error.code,
        `failed to set up container networking: driver failed programming external connectivity on endpoint ${request.endpointName} (${endpointId}): ${error.message}`,
        { cause: error },
      );
    }
  }

  #link(bridge: Bridge, namespaceFd: number, interfaceName: string): PreparedLink {
    const settings = {
      bridgeIndex: bridge.index,
      mtu: bridge.mtu,
      hairpin: this.#hairpin,
      // Where bridged packets pass the rule set, it keeps containers apart; elsewhere the bridge itself does.
      isolated: !this.#config.interContainerCommunication && !this.#hairpin,
    };
    return prepareLink(this.#connection(), settings, namespaceFd, interfaceName);
  }

  loopbackUp(namespaceFd: number): void {
    bringLoopbackUp(this.#sys, namespaceFd);
  }

  async detach(endpoint: Endpoint): Promise<void> {
    const attached = this.#attached.get(endpoint.endpointId);
    this.#attached.delete(endpoint.endpointId);
    this.#firewall?.removePorts(portsOf(endpoint));
    attached?.lease[Symbol.dispose]();
    const address = parseIpv4(endpoint.ipv4Address);
    if (attached !== undefined && address !== undefined) this.#bridge?.pool.release(address);
    // The kernel deletes the pair with the container's namespace, off this thread; a deletion from here would block it for 10–20 ms.
    this.#leaving.add(endpoint.hostInterface);
    this.#sweep ??= setTimeout(() => this.#sweepLeaving(), lingerMs);
  }

  /** Deletes what is still there of detached endpoints: their namespaces are held by someone. */
  #sweepLeaving(): void {
    clearTimeout(this.#sweep);
    this.#sweep = undefined;
    if (this.#leaving.size === 0 || this.#route === undefined || this.#bridge === undefined) return;
    try {
      const still = listPorts(this.#route, this.#bridge.index).filter((port) => this.#leaving.has(port.name));
      this.#leaving.clear();
      if (still.length > 0)
        this.#route.send(
          still.map((port) => deleteLink(port.index)),
          ["ENODEV"],
        );
    } catch (error) {
      this.#logger.warn("interfaces of ended containers could not be removed", { error: messageOf(error) });
    }
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
    this.#leaving.clear();
    this.#cleanLinks(known);
    for (const warning of warnings) this.#logger.warn(warning);
  }

  async stop(keepRunning: boolean): Promise<void> {
    this.#sweepLeaving();
    if (!keepRunning && this.#attached.size === 0 && this.#bridge !== undefined) {
      this.#firewall?.uninstall();
      this.#route?.send([deleteLink(this.#bridge.index)], ["ENODEV"]);
    }
    for (const { lease } of this.#attached.values()) lease[Symbol.dispose]();
    this.#attached.clear();
    this.#firewall?.[Symbol.dispose]();
    this.#route?.close();
    this.#firewall = undefined;
    this.#route = undefined;
    this.#bridge = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(true);
  }

  #running(): Bridge {
    if (this.#bridge === undefined)
      throw new EngineError("internal", "networks are used before their start or after their stop");
    return this.#bridge;
  }
  #connection(): NetlinkConnection {
    if (this.#route === undefined)
      throw new EngineError("internal", "networks are used before their start or after their stop");
    return this.#route;
  }
  #allocator(): PortAllocator {
    if (this.#ports === undefined)
      throw new EngineError("internal", "networks are used before their start or after their stop");
    return this.#ports;
  }
}

function portsOf(endpoint: Endpoint) {
  const address = parseIpv4(endpoint.ipv4Address);
  return address === undefined ? [] : publishedPorts(endpoint.ports, address);
}

/** Other people may plug their own interfaces into our bridge; only names that we give are ours. */
function isOurName(link: Link): boolean {
  return link.kind === "veth" && /^veth[0-9a-f]{7}$/.test(link.name);
}
