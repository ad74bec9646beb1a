/** rtnetlink(7): links as messages. */
import { NLM_F_CREATE, NLM_F_EXCL, PayloadWriter } from "./message.ts";
import type { NetlinkRequest } from "./connection.ts";
import { RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, AF_UNSPEC, AF_INET6 } from "./route-numbers.ts";
import { NLM_F_DUMP } from "@fathom/sys";

const IFF_UP = 0x1;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const VETH_INFO_PEER = 1;
const IFLA_MACVLAN_MODE = 1;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;

/** Names are at most 15 bytes (IFNAMSIZ). */
export const maxInterfaceNameLength = 15;

function linkHeader(writer: PayloadWriter, index: number, flags: number, change: number): PayloadWriter {
  return writer.u8(AF_UNSPEC).u8(0).u16(0).u32(index).u32(flags).u32(change);
}

export interface BridgeLink {
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
}

/** Makes a bridge, down. Its MAC is fixed, so that it does not change with the ports. */
export function createBridge(bridge: BridgeLink): NetlinkRequest {
  const writer = linkHeader(new PayloadWriter(), 0, 0, 0)
    .attributeText(IFLA_IFNAME, bridge.name)
    .attribute(IFLA_ADDRESS, bridge.mac)
    .attributeU32(IFLA_MTU, bridge.mtu)
    .nest(IFLA_LINKINFO, (info) => info.attributeText(IFLA_INFO_KIND, "bridge"), false);
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: writer.finish(),
    action: `create bridge ${bridge.name}`,
  };
}

/** Two interfaces that are connected with each other, both in the namespace of the request, down. With both up, each has a carrier. */
export function createLoop(name: string, peerName: string): NetlinkRequest {
  const writer = linkHeader(new PayloadWriter(), 0, 0, 0)
    .attributeText(IFLA_IFNAME, name)
    .nest(
      IFLA_LINKINFO,
      (info) =>
        info
          .attributeText(IFLA_INFO_KIND, "veth")
          .nest(
            IFLA_INFO_DATA,
            (data) =>
              data.nest(
                VETH_INFO_PEER,
                (peer) => void linkHeader(peer, 0, 0, 0).attributeText(IFLA_IFNAME, peerName),
                false,
              ),
            false,
          ),
      false,
    );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: writer.finish(),
    action: `create interfaces ${name} and ${peerName}`,
  };
}

export const macvlanModes = ["private", "vepa", "bridge", "passthru"] as const;
export type MacvlanMode = (typeof macvlanModes)[number];
const macvlanModeNumbers = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;

export interface MacvlanLink {
  readonly name: string;
  readonly parentIndex: number;
  readonly mode: MacvlanMode;
  /** The interface starts here; its parent is in the namespace of the request. */
  readonly namespaceFd: number;
}

/** Makes an interface with a MAC address of its own at another interface, down. */
export function createMacvlan({ name, parentIndex, mode, namespaceFd }: MacvlanLink): NetlinkRequest {
  const writer = linkHeader(new PayloadWriter(), 0, 0, 0)
    .attributeText(IFLA_IFNAME, name)
    .attributeU32(IFLA_LINK, parentIndex)
    .attributeU32(IFLA_NET_NS_FD, namespaceFd)
    .nest(
      IFLA_LINKINFO,
      (info) =>
        info
          .attributeText(IFLA_INFO_KIND, "macvlan")
          .nest(IFLA_INFO_DATA, (data) => data.attributeU32(IFLA_MACVLAN_MODE, macvlanModeNumbers[mode]), false),
      false,
    );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: writer.finish(),
    action: `create macvlan interface ${name}`,
  };
}

export interface VethPair {
  readonly name: string;
  readonly mtu: number;
  /** Index of the bridge of which the host's end becomes a port. */
  readonly masterIndex: number;
  readonly peer: {
    readonly name: string;
    /** The peer starts in this network namespace. */
    readonly namespaceFd: number;
    /** Random when absent. */
    readonly mac?: Uint8Array;
  };
}

/** Makes a veth pair in one step: the host's end is a port of the bridge, the peer is in the container's namespace. Both are down. */
export function createVethPair(pair: VethPair): NetlinkRequest {
  const writer = linkHeader(new PayloadWriter(), 0, 0, 0)
    .attributeText(IFLA_IFNAME, pair.name)
    .attributeU32(IFLA_MTU, pair.mtu)
    .attributeU32(IFLA_MASTER, pair.masterIndex)
    .nest(
      IFLA_LINKINFO,
      (info) =>
        info.attributeText(IFLA_INFO_KIND, "veth").nest(
          IFLA_INFO_DATA,
          (data) =>
            data.nest(
              VETH_INFO_PEER,
              (peer) => {
                linkHeader(peer, 0, 0, 0)
                  .attributeText(IFLA_IFNAME, pair.peer.name)
                  .attributeU32(IFLA_MTU, pair.mtu)
                  .attributeU32(IFLA_NET_NS_FD, pair.peer.namespaceFd);
                if (pair.peer.mac !== undefined) peer.attribute(IFLA_ADDRESS, pair.peer.mac);
              },
              false,
            ),
          false,
        ),
      false,
    );
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: writer.finish(),
    action: `create interface pair ${pair.name} and ${pair.peer.name}`,
  };
}

/** A link by its index or its name. */
export type LinkReference = number | string;

export interface LinkChange {
  readonly up?: boolean;
  readonly mac?: Uint8Array;
  readonly mtu?: number;
  /** New name; then the link must be given by index, and be down. */
  readonly name?: string;
  /** 0 removes it from its bridge. */
  readonly masterIndex?: number;
  /** No link-local IPv6 address is made when the link gets its carrier. The kernel reads `up` first. */
  readonly noIpv6LinkLocal?: boolean;
  /** Properties of a bridge port; the link must be one. */
  readonly bridgePort?: { readonly hairpin?: boolean; readonly isolated?: boolean };
}

export function changeLink(link: LinkReference, change: LinkChange): NetlinkRequest {
  const flags = change.up === undefined ? [0, 0] : [change.up ? IFF_UP : 0, IFF_UP];
  const writer = linkHeader(new PayloadWriter(), typeof link === "number" ? link : 0, flags[0]!, flags[1]!);
  if (typeof link === "string") writer.attributeText(IFLA_IFNAME, link);
  else if (change.name !== undefined) writer.attributeText(IFLA_IFNAME, change.name);
  if (change.mac !== undefined) writer.attribute(IFLA_ADDRESS, change.mac);
  if (change.mtu !== undefined) writer.attributeU32(IFLA_MTU, change.mtu);
  if (change.masterIndex !== undefined) writer.attributeU32(IFLA_MASTER, change.masterIndex);
  const { bridgePort } = change;
  if (bridgePort !== undefined) {
    writer.nest(
      IFLA_LINKINFO,
      (info) =>
        info.attributeText(IFLA_INFO_SLAVE_KIND, "bridge").nest(
          IFLA_INFO_SLAVE_DATA,
          (data) => {
            if (bridgePort.hairpin !== undefined) data.attributeU8(IFLA_BRPORT_MODE, Number(bridgePort.hairpin));
            if (bridgePort.isolated !== undefined) data.attributeU8(IFLA_BRPORT_ISOLATED, Number(bridgePort.isolated));
          },
          false,
        ),
      false,
    );
  }
  if (change.noIpv6LinkLocal)
    writer.nest(
      IFLA_AF_SPEC,
      (families) =>
        families.nest(
          AF_INET6,
          (family) => family.attributeU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE),
          false,
        ),
      false,
    );
  // RTM_NEWLINK without NLM_F_CREATE changes an existing link. Unlike RTM_SETLINK it also changes the properties of a bridge port.
  return { type: RTM_NEWLINK, flags: 0, payload: writer.finish(), action: `configure interface ${link}` };
}

export function deleteLink(link: LinkReference): NetlinkRequest {
  const writer = linkHeader(new PayloadWriter(), typeof link === "number" ? link : 0, 0, 0);
  if (typeof link === "string") writer.attributeText(IFLA_IFNAME, link);
  return { type: RTM_DELLINK, flags: 0, payload: writer.finish(), action: `delete interface ${link}` };
}

export function getLink(link: LinkReference): NetlinkRequest {
  const writer = linkHeader(new PayloadWriter(), typeof link === "number" ? link : 0, 0, 0);
  if (typeof link === "string") writer.attributeText(IFLA_IFNAME, link);
  return { type: RTM_GETLINK, flags: 0, payload: writer.finish(), action: `look up interface ${link}` };
}

/** All links; with `masterIndex` only the ports of that bridge. */
export function dumpLinks(masterIndex?: number): NetlinkRequest {
  const writer = linkHeader(new PayloadWriter(), 0, 0, 0);
  if (masterIndex !== undefined) writer.attributeU32(IFLA_MASTER, masterIndex);
  return { type: RTM_GETLINK, flags: NLM_F_DUMP, payload: writer.finish(), action: "list interfaces" };
}
