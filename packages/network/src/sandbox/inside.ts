/** The work in a container's network namespace: lo, addresses, routes. The interface exists already. */
import { NETLINK_ROUTE, type Sys } from "@fathom/sys";
import type { EndpointAddress, Family } from "../contract.ts";
import { writeProc } from "../host/proc.ts";
import { broadcastOf, parseIpv4, subnetOf } from "../ipam/ip.ts";
import { NetlinkConnection, type NetlinkRequest } from "../netlink/connection.ts";
import { decodeLinks, decodeRoutes } from "../netlink/route-decode.ts";
import { addAddress, addDefaultRoute, changeLink, dumpRoutes, getLink, replaceDefaultRoute } from "../netlink/route.ts";

export type InsideSys = Pick<
  Sys,
  "openNetlink" | "netlinkTransact" | "close" | "withNetworkNamespace" | "open" | "read" | "write"
>;

export interface InterfaceSettings {
  readonly name: string;
  readonly index: number;
  /** undefined: the interface keeps its MAC address. */
  readonly mac: Uint8Array | undefined;
  readonly addresses: readonly EndpointAddress[];
  /** Default routes through this interface. */
  readonly gateways: Readonly<Partial<Record<Family, string>>>;
}

/** The loopback link is the first link of every namespace. */
const loopbackIndex = 1;

/** Gives an interface its addresses and brings it up, with lo: one netlink exchange. */
export function configureInterface(sys: InsideSys, namespaceFd: number, link: InterfaceSettings): void {
  // As Docker does on a network without IPv6. Before the link comes up, because it would then get a link-local address.
  if (link.addresses.every(({ family }) => family !== "ipv6"))
    sys.withNetworkNamespace(namespaceFd, () =>
      writeProc(sys, `/proc/sys/net/ipv6/conf/${link.name}/disable_ipv6`, "1"),
    );
  const gateway = parseIpv4(link.gateways.ipv4 ?? "");
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  inside.send([
    changeLink(loopbackIndex, { up: true }),
    changeLink(link.index, { ...(link.mac === undefined ? {} : { mac: link.mac }), up: true }),
    ...link.addresses.flatMap((address) => assignment(link.index, address)),
    ...(gateway === undefined ? [] : [addDefaultRoute(link.index, gateway)]),
  ]);
}

/** IPv6 addresses: no network has them yet. */
function assignment(linkIndex: number, { address: text, prefixLength }: EndpointAddress): NetlinkRequest[] {
  const address = parseIpv4(text);
  if (address === undefined) return [];
  return [addAddress({ linkIndex, address, prefixLength, broadcast: broadcastOf(subnetOf(address, prefixLength)) })];
}

/** Brings up lo in a namespace without any other interface. */
export function bringLoopbackUp(sys: InsideSys, namespaceFd: number): void {
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  inside.send([changeLink(loopbackIndex, { up: true })]);
}

/** Moves the default route to another interface in one step, so that there always is one. */
export function moveDefaultRoute(sys: InsideSys, namespaceFd: number, interfaceName: string, gateway: string): void {
  const address = parseIpv4(gateway);
  if (address === undefined) return;
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  const [link] = decodeLinks(inside.send([getLink(interfaceName)]));
  if (link !== undefined) inside.send([replaceDefaultRoute(link.index, address)]);
}

/** Whether the namespace has a default route of the family, whoever made it. */
export function hasDefaultRoute(sys: InsideSys, namespaceFd: number, family: Family): boolean {
  if (family === "ipv6") return true;
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  return decodeRoutes(inside.send([dumpRoutes()])).some(({ destination }) => destination.prefixLength === 0);
}
