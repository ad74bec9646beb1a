/** Networks with a Linux bridge on this host. */
import { EngineError, type Logger } from "@fathom/base";
import type { Endpoint, Family, NetworkInfo, NetworkSettings, PreparedLink } from "../contract.ts";
import type { FamilyRules, FirewallNetwork } from "../firewall/rule-elements.ts";
import { filtersBridgedPackets } from "../host/host-settings.ts";
import type { ProcSys } from "../host/proc.ts";
import { parseAddress, parsePrefix } from "../ipam/prefix.ts";
import { macOf, parseMac } from "../ipam/ip.ts";
import type { NetlinkConnection } from "../netlink/connection.ts";
import { deleteLink } from "../netlink/link.ts";
import {
  checkBridgeName,
  defaultRouteMtu,
  ensureBridge,
  findLink,
  hasAddresses,
  listLinks,
  listRoutes,
  type BridgeSettings,
} from "./bridge-link.ts";
import { bridgeName, bridgeOptions, readBridgeOptions, type BridgeOptions } from "./bridge-options.ts";
import type {
  DriverNetwork,
  EndpointDraft,
  JoinedLink,
  JoinRequest,
  LeftNamespace,
  NetworkDriver,
  Publishing,
} from "./driver.ts";
import { cleanLinks, LeavingLinks } from "./leftover-links.ts";
import { makePair, removeLink, type LinkSettings } from "./veth.ts";

/** The manager's objects that every network of the driver uses. */
export interface BridgeHost {
  readonly sys: ProcSys;
  readonly route: NetlinkConnection;
  readonly logger: Logger;
}

const usualMtu = 1500;

/** More prepared pairs than waiting containers: then most of them have ended with their namespaces. */
const preparedAtMost = 64;

export function createBridgeDriver(host: BridgeHost): NetworkDriver {
  const routeMtu = (): number => defaultRouteMtu(host.route, listRoutes(host.route)) ?? usualMtu;
  return {
    name: "bridge",
    capabilities: { endpoints: true, ownsInterface: true },
    options: (id: string, { options, internal }: NetworkSettings) => {
      const { bridge, gatewayModes } = readBridgeOptions(id, options);
      checkBridgeName(bridge);
      if (!internal && Object.values(gatewayModes).includes("isolated"))
        throw new EngineError("invalid-argument", "gateway mode 'isolated' can only be used for an internal network");
      // "0" asks for the default route's; the row has the resulting value.
      return options[bridgeOptions.mtu] === "0" ? { ...options, [bridgeOptions.mtu]: String(routeMtu()) } : options;
    },
    hostInterface: ({ id, options }) => bridgeName(id, options),
    rules: (network) => rulesOf(network, readBridgeOptions(network.id, network.options)),
    open: async (network) => {
      const options = readBridgeOptions(network.id, network.options);
      return new BridgeNetwork(host, network, { ...options, mtu: options.mtu > 0 ? options.mtu : routeMtu() });
    },
  };
}

function rulesOf(
  { internal, families }: NetworkInfo,
  { bridge, openBetween, masquerade, gatewayModes }: BridgeOptions,
): FirewallNetwork {
  const ofFamily = (family: Family): FamilyRules => ({
    masquerade: masquerade && gatewayModes[family] === "nat",
    unprotected: gatewayModes[family] === "nat-unprotected",
  });
  return {
    bridge,
    interContainer: openBetween,
    internal,
    families: Object.fromEntries(families.map((family) => [family, ofFamily(family)])),
  };
}

class BridgeNetwork implements DriverNetwork {
  readonly rules: FirewallNetwork;
  readonly publishing: Publishing;
  readonly interfacePrefix: string;
  readonly #host: BridgeHost;
  readonly #id: string;
  #bridge: BridgeSettings;
  #link: LinkSettings;
  #leaving: LeavingLinks;
  /** Host ends of pairs that wait for their container. */
  readonly #prepared = new Set<string>();

  constructor(host: BridgeHost, network: NetworkInfo, options: BridgeOptions) {
    this.#host = host;
    this.#id = network.id;
    const addresses = network.pools.flatMap(({ family, subnet, gateway }) => {
      // Nobody reaches an isolated network through the host, nor the host itself.
      if (options.gatewayModes[family] === "isolated" || (family === "ipv4" && options.inhibitIpv4)) return [];
      const [parsed, address] = [parsePrefix(subnet), parseAddress(gateway)];
      return parsed === undefined || address === undefined
        ? []
        : [{ gateway: address, prefixLength: parsed.prefix.bits }];
    });
    this.#bridge = { name: options.bridge, addresses, mtu: options.mtu };
    this.rules = rulesOf(network, options);
    this.interfacePrefix = options.interfacePrefix;
    const routed = network.families.filter((family) => options.gatewayModes[family] === "routed");
    this.publishing = { kind: "rules", bindAddress: options.bindAddress, routed };
    // With this setting, bridged packets go through the rule set: a redirected packet may have to leave through the port on which it arrived,
    // and the rule set separates containers. Without it, the bridge separates them.
    const filtered = filtersBridgedPackets(host.sys);
    // The last step that can fail.
    const { index: bridgeIndex, mac } = ensureBridge(host.route, host.sys, this.#bridge);
    // A bridge that is made again has it too, because the containers keep it in their neighbour tables.
    this.#bridge = { ...this.#bridge, mac: parseMac(mac) };
    this.#link = { bridgeIndex, mtu: options.mtu, hairpin: filtered, isolated: !options.openBetween && !filtered };
    this.#leaving = new LeavingLinks(host.route, bridgeIndex, host.logger);
  }

  /** Makes the bridge again when another program removed it, and connects the containers again. */
  repair(hostInterfaces: () => readonly string[]): void {
    const { route, sys, logger } = this.#host;
    if (findLink(route, this.#bridge.name)?.index === this.#link.bridgeIndex) return;
    logger.warn("the bridge of this engine was removed by someone else and is put back", { bridge: this.#bridge.name });
    const { index: bridgeIndex } = ensureBridge(route, sys, this.#bridge);
    this.#leaving.sweep();
    this.#link = { ...this.#link, bridgeIndex };
    this.#leaving = new LeavingLinks(route, bridgeIndex, logger);
    this.clean(hostInterfaces());
  }

  get hostLink(): number {
    return this.#link.bridgeIndex;
  }

  restore(hostInterfaces: () => readonly string[]): void {
    const { route, sys, logger } = this.#host;
    this.repair(hostInterfaces);
    if (hasAddresses(route, this.#bridge, this.#link.bridgeIndex)) return;
    logger.warn("addresses of a bridge of this engine were removed by someone else and are put back", {
      bridge: this.#bridge.name,
    });
    ensureBridge(route, sys, this.#bridge);
  }

  async createEndpoint({ addresses }: EndpointDraft): Promise<{ readonly macAddress: Uint8Array }> {
    const [address] = addresses.flatMap(({ address: text }) => parseAddress(text) ?? []);
    if (address === undefined) throw new EngineError("internal", "an endpoint of a bridge has no address");
    return { macAddress: macOf(address) };
  }

  async join({ namespaceFd, interfaceName, prepared }: JoinRequest): Promise<JoinedLink> {
    if (prepared !== undefined) {
      this.#prepared.delete(prepared.hostInterface);
      return prepared;
    }
    return makePair(this.#host.route, this.#link, namespaceFd, interfaceName);
  }

  async leave({ hostInterface }: Pick<Endpoint, "hostInterface">, namespace: LeftNamespace): Promise<void> {
    if (namespace.kind === "ends") return this.#leaving.add(hostInterface);
    try {
      removeLink(this.#host.route, hostInterface);
    } catch (error) {
      // It is tried again in a moment.
      this.#leaving.add(hostInterface);
      throw error;
    }
  }

  /** An endpoint consists only of its link. */
  async deleteEndpoint(): Promise<void> {}

  readonly prepareLink = (namespaceFd: number, interfaceName: string): PreparedLink => {
    const pair = makePair(this.#host.route, this.#link, namespaceFd, interfaceName);
    if (this.#prepared.size >= preparedAtMost) this.#forgetEnded();
    this.#prepared.add(pair.hostInterface);
    return { ...pair, networkId: this.#id, interfaceName };
  };

  /** Forgets prepared pairs that ended with their namespaces. */
  #forgetEnded(): void {
    if (this.#prepared.size === 0) return;
    // All links: those of a bridge that another program removed are ports of none.
    const names = new Set(listLinks(this.#host.route).map(({ name }) => name));
    for (const name of this.#prepared) if (!names.has(name)) this.#prepared.delete(name);
  }

  clean(hostInterfaces: readonly string[]): boolean {
    const { route, logger } = this.#host;
    this.#forgetEnded();
    return cleanLinks(route, this.#link, new Set([...hostInterfaces, ...this.#prepared]), logger);
  }

  async remove(): Promise<void> {
    this.#leaving.sweep();
    this.#host.route.send([deleteLink(this.#link.bridgeIndex)], ["ENODEV"]);
  }

  [Symbol.dispose](): void {
    this.#leaving.sweep();
  }
}
