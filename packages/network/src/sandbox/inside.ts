/** The work in a container's network namespace: lo, addresses, routes. The interface exists already. */
import { EngineError, isEngineError, messageOf } from "@fathom/base";
import { NETLINK_ROUTE, type Sys } from "@fathom/sys";
import type { EndpointAddress, Family } from "../contract.ts";
import { writeProc } from "../host/proc.ts";
import { parseAddress } from "../ipam/prefix.ts";
import { NetlinkConnection } from "../netlink/connection.ts";
import { decodeLinks, decodeRoutes } from "../netlink/route-decode.ts";
import { changeLink, getLink } from "../netlink/link.ts";
import { addAddress, addDefaultRoute, dumpRoutes, replaceDefaultRoute } from "../netlink/route.ts";

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
  /** "net.ipv4.conf.IFNAME.log_martians=1". */
  readonly sysctls: readonly string[];
  /** Default routes through this interface. */
  readonly gateways: Readonly<Partial<Record<Family, string>>>;
}

/** The loopback link is the first link of every namespace. */
const loopbackIndex = 1;

/** Gives an interface its settings and addresses and brings it up, with lo: one netlink exchange. */
export function configureInterface(sys: InsideSys, namespaceFd: number, link: InterfaceSettings): void {
  const ipv6 = link.addresses.some(({ family }) => family === "ipv6");
  // Before the link comes up: without IPv6 it would get a link-local address, as Docker prevents it, and the user's settings may be about this.
  const settings = [
    [`net/ipv6/conf/${link.name}/disable_ipv6`, ipv6 ? "0" : "1"],
    // Addresses and routes come from this engine, not from what other containers announce; nobody else has them.
    ...(ipv6 ? ["accept_ra", "accept_dad"].map((name) => [`net/ipv6/conf/${link.name}/${name}`, "0"]) : []),
  ] as const;
  sys.withNetworkNamespace(namespaceFd, () => {
    for (const [path, value] of settings) writeProc(sys, `/proc/sys/${path!}`, value!);
    for (const sysctl of link.sysctls) writeSysctl(sys, link.name, sysctl);
  });
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  inside.send([
    changeLink(loopbackIndex, { up: true }),
    changeLink(link.index, { ...(link.mac === undefined ? {} : { mac: link.mac }), up: true }),
    ...link.addresses.flatMap(({ address: text, prefixLength }) => {
      const address = parseAddress(text);
      return address === undefined ? [] : [addAddress({ linkIndex: link.index, address, prefixLength })];
    }),
    ...Object.values(link.gateways).flatMap((text) => {
      const gateway = parseAddress(text ?? "");
      return gateway === undefined ? [] : [addDefaultRoute(link.index, gateway)];
    }),
  ]);
}

/** "net.ipv4.conf.IFNAME.log_martians=1". @throws invalid-argument when the kernel does not have it, or rejects its value */
function writeSysctl(sys: InsideSys, interfaceName: string, text: string): void {
  const equals = text.indexOf("=");
  const name = (equals < 0 ? text : text.slice(0, equals)).split(".");
  const path = `/proc/sys/${name.map((part, index) => (index === 3 ? interfaceName : part)).join("/")}`;
  const failed = (reason: string): EngineError =>
    new EngineError("invalid-argument", `failed to set sysctl ${text} of interface ${interfaceName}: ${reason}`);
  try {
    if (!writeProc(sys, path, equals < 0 ? "" : text.slice(equals + 1))) throw failed("the kernel does not have it");
  } catch (error) {
    throw isEngineError(error, "invalid-argument") ? error : failed(messageOf(error));
  }
}

/** Brings up lo in a namespace without any other interface. */
export function bringLoopbackUp(sys: InsideSys, namespaceFd: number): void {
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  inside.send([changeLink(loopbackIndex, { up: true })]);
}

/** Moves the default route to another interface in one step, so that there always is one. */
export function moveDefaultRoute(sys: InsideSys, namespaceFd: number, interfaceName: string, gateway: string): void {
  const address = parseAddress(gateway);
  if (address === undefined) return;
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  const [link] = decodeLinks(inside.send([getLink(interfaceName)]));
  if (link !== undefined) inside.send([replaceDefaultRoute(link.index, address)]);
}

/** Whether the namespace has a default route of the family, whoever made it. */
export function hasDefaultRoute(sys: InsideSys, namespaceFd: number, family: Family): boolean {
  using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
  return decodeRoutes(inside.send([dumpRoutes(family)])).some(
    ({ destination }) => destination.family === family && destination.bits === 0,
  );
}
