/** rtnetlink(7): addresses and routes as messages. Links: link.ts. */
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, PayloadWriter } from "./message.ts";
import type { NetlinkRequest } from "./connection.ts";
import type { Family } from "../contract.ts";
import { addressBytes, formatAddress, lastOf, prefixOf, type Address } from "../ipam/prefix.ts";
import {
  RTM_NEWADDR,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWROUTE,
  RTM_GETROUTE,
  AF_UNSPEC,
  AF_INET,
  AF_INET6,
  RTN_UNICAST,
} from "./route-numbers.ts";
import { NLM_F_DUMP } from "@fathom/sys";

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_F_NODAD = 2;

const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;

export interface AddressAssignment {
  readonly linkIndex: number;
  readonly address: Address;
  readonly prefixLength: number;
}

const familyNumbers = { ipv4: AF_INET, ipv6: AF_INET6 } as const;

function addressPayload({ linkIndex, address, prefixLength }: AddressAssignment): Uint8Array {
  const bytes = addressBytes(address);
  const writer = new PayloadWriter()
    .u8(familyNumbers[address.family])
    .u8(prefixLength)
    // Nobody else has the addresses that this engine gives out, so they are used at once.
    .u8(address.family === "ipv6" ? IFA_F_NODAD : 0)
    .u8(RT_SCOPE_UNIVERSE)
    .u32(linkIndex)
    .attribute(IFA_LOCAL, bytes)
    .attribute(IFA_ADDRESS, bytes);
  if (address.family === "ipv4") {
    const value = lastOf(prefixOf(address, prefixLength));
    writer.attribute(IFA_BROADCAST, addressBytes({ family: "ipv4", value }));
  }
  return writer.finish();
}

export function addAddress(assignment: AddressAssignment): NetlinkRequest {
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    payload: addressPayload(assignment),
    action: `add address ${formatAddress(assignment.address)}/${assignment.prefixLength}`,
  };
}

export function deleteAddress(assignment: AddressAssignment): NetlinkRequest {
  return {
    type: RTM_DELADDR,
    flags: 0,
    payload: addressPayload(assignment),
    action: `remove address ${formatAddress(assignment.address)}/${assignment.prefixLength}`,
  };
}

/** Of both families. */
export function dumpAddresses(): NetlinkRequest {
  const payload = new PayloadWriter().u8(AF_UNSPEC).u8(0).u8(0).u8(0).u32(0).finish();
  return { type: RTM_GETADDR, flags: NLM_F_DUMP, payload, action: "list addresses" };
}

/** The default route through a gateway on a link. */
export function addDefaultRoute(linkIndex: number, gateway: Address): NetlinkRequest {
  return defaultRoute(linkIndex, gateway, NLM_F_CREATE | NLM_F_EXCL, "add");
}

/** The same, replacing the existing route, whatever its link. */
export function replaceDefaultRoute(linkIndex: number, gateway: Address): NetlinkRequest {
  return defaultRoute(linkIndex, gateway, NLM_F_CREATE | NLM_F_REPLACE, "replace");
}

function defaultRoute(linkIndex: number, gateway: Address, flags: number, verb: string): NetlinkRequest {
  const payload = routeHeader(new PayloadWriter(), familyNumbers[gateway.family], RT_TABLE_MAIN)
    .attribute(RTA_GATEWAY, addressBytes(gateway))
    .attributeU32(RTA_OIF, linkIndex)
    .finish();
  return { type: RTM_NEWROUTE, flags, payload, action: `${verb} default route through ${formatAddress(gateway)}` };
}

/** Of one family, or of both. */
export function dumpRoutes(family?: Family): NetlinkRequest {
  const payload = routeHeader(
    new PayloadWriter(),
    family === undefined ? AF_UNSPEC : familyNumbers[family],
    0,
  ).finish();
  return { type: RTM_GETROUTE, flags: NLM_F_DUMP, payload, action: "list routes" };
}

function routeHeader(writer: PayloadWriter, family: number, table: number): PayloadWriter {
  const known = table === 0 ? [0, 0, 0] : [RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST];
  return writer.u8(family).u8(0).u8(0).u8(0).u8(table).u8(known[0]!).u8(known[1]!).u8(known[2]!).u32(0);
}
