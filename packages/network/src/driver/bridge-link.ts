/** The bridge interface of a network on the host: made once, kept over daemon restarts. */
import { EngineError } from "@fathom/base";
import { broadcastOf, type Ipv4, type Subnet } from "../ipam/ip.ts";
import type { NetlinkConnection } from "../netlink/connection.ts";
import { NetlinkError } from "../netlink/connection.ts";
import { decodeAddresses, decodeLinks, decodeRoutes, type Link, type Route } from "../netlink/route-decode.ts";
import {
  addAddress,
  changeLink,
  createBridge,
  deleteAddress,
  dumpAddresses,
  dumpLinks,
  dumpRoutes,
  getLink,
  maxInterfaceNameLength,
} from "../netlink/route.ts";
import { writeProc, type ProcSys } from "../host/proc.ts";

export interface BridgeSettings {
  readonly name: string;
  readonly gateway: Ipv4;
  readonly subnet: Subnet;
  readonly mtu: number;
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

/** The host's IPv4 routes, the kernel's own for local addresses left out. */
export function listRoutes(route: NetlinkConnection): Route[] {
  return decodeRoutes(route.send([dumpRoutes()]));
}

/** The ports of a bridge. */
export function listPorts(route: NetlinkConnection, bridgeIndex: number): Link[] {
  return decodeLinks(route.send([dumpLinks(bridgeIndex)])).filter((link) => link.masterIndex === bridgeIndex);
}

/**
 * Makes the bridge, or takes the one that is there, and gives it its address.
 * @returns its index.
 * @throws invalid-argument for a bad name, conflict when an interface of another kind has the name.
 */
export function ensureBridge(route: NetlinkConnection, sys: ProcSys, settings: BridgeSettings): number {
  const { name } = settings;
  if (name.length === 0 || name.length > maxInterfaceNameLength || /[\s/:]/.test(name))
    throw new EngineError(
      "invalid-argument",
      `invalid bridge name ${JSON.stringify(name)}: 1 to ${maxInterfaceNameLength} characters without space, slash and colon`,
    );
  let link = findLink(route, name);
  if (link === undefined) {
    const mac = crypto.getRandomValues(new Uint8Array(6));
    // Locally administered, unicast.
    mac[0] = (mac[0]! & 0xfc) | 0x02;
    route.send([createBridge({ name, mac, mtu: settings.mtu })]);
    link = findLink(route, name);
  }
  if (link === undefined) throw new EngineError("internal", `bridge ${name} vanished while it was set up`);
  if (link.kind !== "bridge")
    throw new EngineError(
      "conflict",
      `interface ${name} exists and is no bridge: choose another name for the default bridge`,
    );

  const { index } = link;
  const wanted = { linkIndex: index, address: settings.gateway, prefixLength: settings.subnet.prefixLength };
  const stale = decodeAddresses(route.send([dumpAddresses()])).filter(
    (address) =>
      address.linkIndex === index &&
      (address.address !== wanted.address || address.prefixLength !== wanted.prefixLength),
  );
  const withBroadcast = { ...wanted, broadcast: broadcastOf(settings.subnet) };
  // No IPv6 on an IPv4 network: neither link-local addresses nor router advertisements of containers reach the host.
  writeProc(sys, `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
  route.send(
    [
      ...stale.map((address) => deleteAddress({ ...address, broadcast: address.address })),
      addAddress(withBroadcast),
      changeLink(index, { mtu: settings.mtu, up: true }),
    ],
    ["EADDRNOTAVAIL"],
  );
  // 127.0.0.1:port from this host leaves by the bridge after its redirection; the rule set keeps others out.
  writeProc(sys, `/proc/sys/net/ipv4/conf/${name}/route_localnet`, "1");
  return index;
}

/** MTU of the link of the default route; undefined without one. */
export function defaultRouteMtu(route: NetlinkConnection, routes: readonly Route[]): number | undefined {
  const [best] = routes
    .filter(({ destination, linkIndex }) => destination.prefixLength === 0 && linkIndex !== 0)
    .sort((a, b) => a.metric - b.metric);
  if (best === undefined) return undefined;
  return decodeLinks(route.send([getLink(best.linkIndex)]))[0]?.mtu;
}
