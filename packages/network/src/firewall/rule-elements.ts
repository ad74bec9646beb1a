/** The sets and maps that the rules look up, and their elements: networks and published ports. */
import type { Family, PortBinding, Protocol } from "../contract.ts";
import { ipv4Bytes, parseIpv4, type Ipv4 } from "../ipam/ip.ts";
import { addressBytes, parseAddress, type Address } from "../ipam/prefix.ts";
import type { NetlinkRequest } from "../netlink/connection.ts";
import {
  addElements,
  deleteElements,
  interfaceKey,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  type SetDefinition,
  type SetElement,
  type TableReference,
} from "../netlink/nftables.ts";

export interface FirewallNetwork {
  readonly bridge: string;
  /** Containers of the network can reach each other. */
  readonly interContainer: boolean;
  /** No way in or out. */
  readonly internal: boolean;
  /** For the families of its addresses. */
  readonly families: Readonly<Partial<Record<Family, FamilyRules>>>;
}

export interface FamilyRules {
  /** Containers use the host's address to the outside. */
  readonly masquerade: boolean;
  /** Every port of a container is reachable from outside, at the container's own address. */
  readonly unprotected: boolean;
}

/** A published port on IPv4. */
export interface PublishedPort {
  readonly protocol: Protocol;
  /** 0 (0.0.0.0) means every address of the host. */
  readonly hostAddress: Ipv4;
  readonly hostPort: number;
  readonly containerAddress: Ipv4;
  readonly containerPort: number;
}

/** A port of a container that is open at the container's own address: its network is routed. */
export interface RoutedPort {
  readonly protocol: Protocol;
  readonly address: Address;
  readonly containerPort: number;
}

/** A port of an IPv6 address of the host, which a process forwards to a container. */
export interface ForwardedPort {
  readonly protocol: Protocol;
  /** 0 (::) means every address of the host. */
  readonly hostAddress: Address;
  readonly forwardedPort: number;
}

export type OpenPort = PublishedPort | RoutedPort | ForwardedPort;

export function isPublished(port: OpenPort): port is PublishedPort {
  return "hostPort" in port;
}

function isRouted(port: OpenPort): port is RoutedPort {
  return "address" in port;
}

function isForwardedPort(port: OpenPort): port is ForwardedPort {
  return "forwardedPort" in port;
}

/** The port has elements in the table of IPv6. */
export function concernsIpv6(port: OpenPort): boolean {
  return isForwardedPort(port) || (isRouted(port) && port.address.family === "ipv6");
}

export function ruleTable(name: string, family: Family = "ipv4"): TableReference {
  return { family: family === "ipv4" ? NFPROTO_IPV4 : NFPROTO_IPV6, name };
}

export function familyOfTable({ family }: TableReference): Family {
  return family === NFPROTO_IPV4 ? "ipv4" : "ipv6";
}

export const ruleSets = {
  bridges: { name: "bridges", key: ["ifname"] },
  /** Each bridge with itself: traffic inside one network. */
  same: { name: "same_network", key: ["ifname", "ifname"] },
  /** Those networks whose containers may reach each other. */
  open: { name: "inter_container", key: ["ifname", "ifname"] },
  masqueraded: { name: "masqueraded", key: ["ifname"] },
  internal: { name: "internal", key: ["ifname"] },
  unprotected: { name: "unprotected", key: ["ifname"] },
} as const satisfies Record<string, SetDefinition>;

/** Container address, protocol, port. */
export const routedSets = {
  ipv4: { name: "routed", key: ["ipv4_addr", "inet_proto", "inet_service"] },
  ipv6: { name: "routed", key: ["ipv6_addr", "inet_proto", "inet_service"] },
} as const satisfies Record<Family, SetDefinition>;

/** Of IPv6 alone. Host address, protocol, port of the processes that forward. */
export const forwardedSet = {
  name: "forwarded",
  key: ["ipv6_addr", "inet_proto", "inet_service"],
} as const satisfies SetDefinition;

/** Of IPv4 alone: ports on IPv6 addresses are forwarded by processes. */
export const portSets = {
  /** Host address, protocol, host port → container address, port. */
  publishedAddress: {
    name: "published_address",
    key: ["ipv4_addr", "inet_proto", "inet_service"],
    value: ["ipv4_addr", "inet_service"],
  },
  /** The same for ports published on every address. */
  publishedAny: { name: "published_any", key: ["inet_proto", "inet_service"], value: ["ipv4_addr", "inet_service"] },
  /** The address of each container with published ports, twice: source and destination of a packet to itself. */
  ownAddress: { name: "own_address", key: ["ipv4_addr", "ipv4_addr"] },
} as const satisfies Record<string, SetDefinition>;

/** Adds a network to the sets of the rules of one family, or removes it. */
export function networkElements(
  table: TableReference,
  all: readonly FirewallNetwork[],
  add: boolean,
): NetlinkRequest[] {
  const family = familyOfTable(table);
  const networks = all.flatMap((network) => {
    const rules = network.families[family];
    return rules === undefined ? [] : [{ ...network, ...rules }];
  });
  const change = add ? addElements : deleteElements;
  const single = (list: readonly FirewallNetwork[]): SetElement[] =>
    list.map((network) => ({ key: interfaceKey(network.bridge) }));
  const pair = (list: readonly FirewallNetwork[]): SetElement[] =>
    list.map(({ bridge }) => ({ key: Uint8Array.of(...interfaceKey(bridge), ...interfaceKey(bridge)) }));
  const of = (set: SetDefinition, elements: readonly SetElement[]) => change(table, set.name, elements);
  return [
    ...of(ruleSets.bridges, single(networks)),
    ...of(ruleSets.same, pair(networks)),
    ...of(ruleSets.open, pair(networks.filter((network) => network.interContainer))),
    ...of(ruleSets.masqueraded, single(networks.filter((network) => network.masquerade && !network.internal))),
    ...of(ruleSets.internal, single(networks.filter((network) => network.internal))),
    ...of(ruleSets.unprotected, single(networks.filter((network) => network.unprotected))),
  ];
}

const protocolNumbers: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** Adds or removes the ports that concern the table. */
export function portElements(table: TableReference, ports: readonly OpenPort[], add: boolean): NetlinkRequest[] {
  const family = familyOfTable(table);
  const routed = ports.filter(isRouted).filter(({ address }) => address.family === family);
  const change = add ? addElements : deleteElements;
  return [
    ...(family === "ipv4"
      ? publishedElements(table, ports.filter(isPublished), add)
      : change(table, forwardedSet.name, ports.filter(isForwardedPort).map(forwardedElement))),
    ...change(table, routedSets[family].name, routed.map(routedElement)),
  ];
}

const service = (port: number): number[] => [port >>> 8, port & 255, 0, 0];

const addressElement = (address: Address, protocol: Protocol, port: number): SetElement => ({
  key: Uint8Array.of(...addressBytes(address), protocolNumbers[protocol], 0, 0, 0, ...service(port)),
});

function routedElement({ protocol, address, containerPort }: RoutedPort): SetElement {
  return addressElement(address, protocol, containerPort);
}

function forwardedElement({ protocol, hostAddress, forwardedPort }: ForwardedPort): SetElement {
  return addressElement(hostAddress, protocol, forwardedPort);
}

function publishedElements(table: TableReference, ports: readonly PublishedPort[], add: boolean): NetlinkRequest[] {
  const change = add ? addElements : deleteElements;
  const element = (port: PublishedPort): SetElement => ({
    key: Uint8Array.of(
      ...(port.hostAddress === 0 ? [] : ipv4Bytes(port.hostAddress)),
      protocolNumbers[port.protocol],
      0,
      0,
      0,
      ...service(port.hostPort),
    ),
    value: Uint8Array.of(...ipv4Bytes(port.containerAddress), ...service(port.containerPort)),
  });
  const own = [...new Set(ports.map((port) => port.containerAddress))].map((address) => ({
    key: Uint8Array.of(...ipv4Bytes(address), ...ipv4Bytes(address)),
  }));
  return [
    ...change(table, portSets.publishedAddress.name, ports.filter((port) => port.hostAddress !== 0).map(element)),
    ...change(table, portSets.publishedAny.name, ports.filter((port) => port.hostAddress === 0).map(element)),
    ...change(table, portSets.ownAddress.name, own),
  ];
}

/** The bindings that redirect: those on IPv4 addresses of the host. */
export function publishedPorts(bindings: readonly PortBinding[], containerAddress: Ipv4): PublishedPort[] {
  return bindings.flatMap((binding) => {
    const hostAddress = parseIpv4(binding.hostIp);
    if (hostAddress === undefined || binding.hostPort === 0) return [];
    const { protocol, hostPort, containerPort } = binding;
    return [{ protocol, hostAddress, hostPort, containerAddress, containerPort }];
  });
}

/** The bindings on IPv6 addresses of the host. */
export function forwardedPorts(bindings: readonly PortBinding[]): ForwardedPort[] {
  return bindings.flatMap(({ protocol, hostIp, hostPort }) => {
    const hostAddress = parseAddress(hostIp);
    return hostPort === 0 || hostAddress?.family !== "ipv6" ? [] : [{ protocol, hostAddress, forwardedPort: hostPort }];
  });
}

/** The bindings without a host port: see `PortBinding`. */
export function routedPorts(bindings: readonly PortBinding[], addresses: readonly Address[]): RoutedPort[] {
  return bindings.flatMap(({ protocol, hostIp, hostPort, containerPort }) => {
    const family = parseAddress(hostIp)?.family;
    const address = addresses.find((own) => own.family === family);
    return hostPort !== 0 || address === undefined ? [] : [{ protocol, address, containerPort }];
  });
}
