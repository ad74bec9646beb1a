/** The data of rtnetlink dumps: links, addresses and routes. */
import { decodeAttributes, readText, readU32, type ReceivedNetlinkMessage } from "./message.ts";
import { formatMac } from "../ipam/ip.ts";
import { addressFromBytes, prefixOf, type Address, type Prefix } from "../ipam/prefix.ts";
import {
  RTM_NEWLINK,
  RTM_NEWADDR,
  RTM_NEWROUTE,
  AF_INET,
  AF_INET6,
  RT_SCOPE_LINK,
  RTN_UNICAST,
} from "./route-numbers.ts";

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly mac: string;
  readonly mtu: number;
  /** Index of the bridge of which it is a port; 0 for none. */
  readonly masterIndex: number;
  /** Index of the other end of a veth pair, in that end's namespace; 0 for none. */
  readonly peerIndex: number;
  /** "bridge", "veth"; "" for hardware. */
  readonly kind: string;
}

/** Links of a dump or a look-up; other messages are ignored. */
export function decodeLinks(messages: readonly ReceivedNetlinkMessage[]): Link[] {
  return messages.flatMap((message) => {
    if (message.type !== RTM_NEWLINK || message.payload.length < 16) return [];
    const attributes = decodeAttributes(message.payload.subarray(16));
    const info = decodeAttributes(attributes.get(18) ?? new Uint8Array());
    return [
      {
        index: readU32(message.payload.subarray(4)) ?? 0,
        name: readText(attributes.get(3)) ?? "",
        up: ((readU32(message.payload.subarray(8)) ?? 0) & 1) !== 0,
        mac: formatMac(attributes.get(1) ?? new Uint8Array()),
        mtu: readU32(attributes.get(4)) ?? 0,
        masterIndex: readU32(attributes.get(10)) ?? 0,
        peerIndex: readU32(attributes.get(5)) ?? 0,
        kind: readText(info.get(1)) ?? "",
      },
    ];
  });
}

export interface LinkAddress {
  readonly linkIndex: number;
  readonly address: Address;
  readonly prefixLength: number;
  /** Valid on the link alone: the kernel made it. */
  readonly linkLocal: boolean;
}

export function decodeAddresses(messages: readonly ReceivedNetlinkMessage[]): LinkAddress[] {
  return messages.flatMap((message) => {
    const { payload } = message;
    if (message.type !== RTM_NEWADDR || payload.length < 8) return [];
    const attributes = decodeAttributes(payload.subarray(8));
    // IFA_LOCAL is the interface's own address; IFA_ADDRESS may be the address of a point-to-point peer.
    const address = addressFromBytes(attributes.get(2) ?? attributes.get(1) ?? new Uint8Array());
    if (address === undefined) return [];
    const linkIndex = readU32(payload.subarray(4)) ?? 0;
    return [{ linkIndex, address, prefixLength: payload[1]!, linkLocal: payload[3] === RT_SCOPE_LINK }];
  });
}

export interface Route {
  /** 0.0.0.0/0 or ::/0 for a default route. */
  readonly destination: Prefix;
  /** 0 when the route names no single link. */
  readonly linkIndex: number;
  readonly gateway: Address | undefined;
  /** A lower value is preferred. */
  readonly metric: number;
  readonly table: number;
}

/** Unicast routes of all tables. */
export function decodeRoutes(messages: readonly ReceivedNetlinkMessage[]): Route[] {
  return messages.flatMap((message) => {
    const { payload } = message;
    if (message.type !== RTM_NEWROUTE || payload.length < 12) return [];
    const family = payload[0] === AF_INET ? "ipv4" : payload[0] === AF_INET6 ? "ipv6" : undefined;
    if (family === undefined || payload[7] !== RTN_UNICAST) return [];
    const attributes = decodeAttributes(payload.subarray(12));
    const destination = attributes.get(1);
    const gateway = attributes.get(5);
    return [
      {
        destination: prefixOf(addressFromBytes(destination ?? new Uint8Array()) ?? { family, value: 0n }, payload[1]!),
        linkIndex: readU32(attributes.get(4)) ?? 0,
        gateway: addressFromBytes(gateway ?? new Uint8Array()),
        metric: readU32(attributes.get(6)) ?? 0,
        table: readU32(attributes.get(15)) ?? payload[4]!,
      },
    ];
  });
}
