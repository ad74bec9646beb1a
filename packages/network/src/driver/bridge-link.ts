/** The bridge interface of a network on the host: made once, kept when the daemon restarts. */
import { EngineError } from "@fathom/base";
import type { Address } from "../ipam/prefix.ts";
import type { NetlinkConnection } from "../netlink/connection.ts";
import { NetlinkError } from "../netlink/connection.ts";
import { decodeAddresses, decodeLinks, decodeRoutes, type Link, type Route } from "../netlink/route-decode.ts";
import { changeLink, createBridge, deleteLink, dumpLinks, getLink, maxInterfaceNameLength } from "../netlink/link.ts";
import { addAddress, deleteAddress, dumpAddresses, dumpRoutes } from "../netlink/route.ts";
import { writeProc, type ProcSys } from "../host/proc.ts";
import { isInterfaceName } from "./interface-name.ts";

export interface BridgeSettings {
  readonly name: string;
  /** Its own address in each subnet: the gateway of the containers. */
  readonly addresses: readonly { readonly gateway: Address; readonly prefixLength: number }[];
  readonly mtu: number;
  /** Of a bridge that is made: random when absent. */
  readonly mac?: Uint8Array | undefined;
}

/** @throws invalid-argument */
export function checkBridgeName(name: string): void {
  if (!isInterfaceName(name))
    throw new EngineError(
      "invalid-argument",
      `invalid bridge name ${JSON.stringify(name)}: 1 to ${maxInterfaceNameLength} characters without space, slash, colon and percent sign; lo, all and default are the kernel's own`,
    );
}

/** The link of that name, or undefined. */
export function findLink(route: NetlinkConnection, name: string): Link | undefined {
  try {
    return decodeLinks(route.send([getLink(name)]))[0];
  } catch (error) {
    if (error instanceof NetlinkError && error.errnoName === "ENODEV") return undefined;
    throw error;
  }
}

/** The host's routes, without the kernel's own for local addresses. */
export function listRoutes(route: NetlinkConnection): Route[] {
  return decodeRoutes(route.send([dumpRoutes()]));
}

/** All links of the host. */
export function listLinks(route: NetlinkConnection): Link[] {
  return decodeLinks(route.send([dumpLinks()]));
}

/** The ports of a bridge. */
export function listPorts(route: NetlinkConnection, bridgeIndex: number): Link[] {
  return decodeLinks(route.send([dumpLinks(bridgeIndex)])).filter((link) => link.masterIndex === bridgeIndex);
}

/**
 * Makes the bridge, or uses the existing one, and gives it its addresses. A new bridge is removed again when a step fails.
 * @throws invalid-argument for a bad name, conflict when an interface of another kind has the name.
 */
export function ensureBridge(route: NetlinkConnection, sys: ProcSys, settings: BridgeSettings): Link {
  const { name } = settings;
  checkBridgeName(name);
  const before = findLink(route, name);
  if (before !== undefined && before.kind !== "bridge")
    throw new EngineError("conflict", `interface ${name} exists and is no bridge: choose another name for the bridge`);
  if (before !== undefined) {
    configureBridge(route, sys, settings, before.index);
    return before;
  }
  route.send([createBridge({ name, mac: settings.mac ?? randomMac(), mtu: settings.mtu })]);
  try {
    const made = findLink(route, name);
    if (made === undefined) throw new EngineError("internal", `bridge ${name} disappeared while it was set up`);
    configureBridge(route, sys, settings, made.index);
    return made;
  } catch (error) {
    try {
      route.send([deleteLink(name)], ["ENODEV"]);
    } catch {
      // The first error is the one to report.
    }
    throw error;
  }
}

function randomMac(): Uint8Array {
  const mac = crypto.getRandomValues(new Uint8Array(6));
  // Locally administered, unicast.
  mac[0] = (mac[0]! & 0xfc) | 0x02;
  return mac;
}

/** Whether the bridge has all its addresses. */
export function hasAddresses(route: NetlinkConnection, settings: BridgeSettings, index: number): boolean {
  const present = decodeAddresses(route.send([dumpAddresses()])).filter(({ linkIndex }) => linkIndex === index);
  return settings.addresses.every(({ gateway, prefixLength }) =>
    present.some(
      ({ address, prefixLength: bits }) =>
        address.family === gateway.family && address.value === gateway.value && bits === prefixLength,
    ),
  );
}

/** Its addresses, and its settings in the host's networks. */
function configureBridge(route: NetlinkConnection, sys: ProcSys, settings: BridgeSettings, index: number): void {
  const { name } = settings;
  const wanted = settings.addresses.map(({ gateway, prefixLength }) => ({
    linkIndex: index,
    address: gateway,
    prefixLength,
  }));
  const stale = decodeAddresses(route.send([dumpAddresses()])).filter(
    ({ linkIndex, address: { family, value }, prefixLength, linkLocal }) =>
      linkIndex === index &&
      !linkLocal &&
      !wanted.some(
        ({ address, prefixLength: bits }) =>
          address.family === family && address.value === value && bits === prefixLength,
      ),
  );
  const ipv6 = wanted.some(({ address }) => address.family === "ipv6");
  // No IPv6 on an IPv4 network: the host gets neither link-local addresses nor router advertisements of containers.
  writeProc(sys, `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, ipv6 ? "0" : "1");
  if (ipv6) {
    writeProc(sys, `/proc/sys/net/ipv6/conf/${name}/accept_ra`, "0");
    // Its link-local address is used at once: until then the host finds no container for packets from outside.
    writeProc(sys, `/proc/sys/net/ipv6/conf/${name}/accept_dad`, "0");
  }
  route.send(
    [...stale.map(deleteAddress), ...wanted.map(addAddress), changeLink(index, { mtu: settings.mtu, up: true })],
    ["EADDRNOTAVAIL"],
  );
  // Packets of this host to 127.0.0.1:port leave through the bridge after the redirection; the rule set keeps others out.
  writeProc(sys, `/proc/sys/net/ipv4/conf/${name}/route_localnet`, "1");
}

/** MTU of the link of the default route; undefined when there is none. */
export function defaultRouteMtu(route: NetlinkConnection, routes: readonly Route[]): number | undefined {
  const [best] = routes
    .filter(({ destination, linkIndex }) => destination.family === "ipv4" && destination.bits === 0 && linkIndex !== 0)
    .sort((a, b) => a.metric - b.metric);
  if (best === undefined) return undefined;
  return decodeLinks(route.send([getLink(best.linkIndex)]))[0]?.mtu;
}
