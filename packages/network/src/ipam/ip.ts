/** IPv4 addresses and subnets as numbers, and the few functions that IPv6 needs. */
import { isIPv4, isIPv6 } from "node:net";
import { parseAddressPrefix } from "@fathom/spec";
import { addressBytes, type Address } from "./prefix.ts";

/** An IPv4 address as an unsigned 32-bit number. */
export type Ipv4 = number;

export interface Subnet {
  /** Network address with zero host bits. */
  readonly address: Ipv4;
  readonly prefixLength: number;
}

/** undefined when `text` is no dotted-quad address. */
export function parseIpv4(text: string): Ipv4 | undefined {
  if (!isIPv4(text)) return undefined;
  return text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

export function formatIpv4(address: Ipv4): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** The four bytes in network order. */
export function ipv4Bytes(address: Ipv4): Uint8Array {
  return Uint8Array.of(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255);
}

export function ipv4FromBytes(bytes: Uint8Array): Ipv4 {
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
}

function netmask(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
}

export function subnetOf(address: Ipv4, prefixLength: number): Subnet {
  return { address: (address & netmask(prefixLength)) >>> 0, prefixLength };
}

/** "172.17.0.0/16" or "172.17.0.1/16": the written address and its subnet. */
export function parseCidr(text: string): { readonly address: Ipv4; readonly subnet: Subnet } | undefined {
  const prefix = parseAddressPrefix(text);
  const address = prefix === undefined ? undefined : parseIpv4(prefix.address);
  return prefix === undefined || address === undefined
    ? undefined
    : { address, subnet: subnetOf(address, prefix.bits) };
}

export function formatSubnet(subnet: Subnet): string {
  return `${formatIpv4(subnet.address)}/${subnet.prefixLength}`;
}

export function contains(subnet: Subnet, address: Ipv4): boolean {
  return (address & netmask(subnet.prefixLength)) >>> 0 === subnet.address;
}

export function overlaps(a: Subnet, b: Subnet): boolean {
  return contains(a, b.address) || contains(b, a.address);
}

export function broadcastOf(subnet: Subnet): Ipv4 {
  return (subnet.address | (~netmask(subnet.prefixLength) >>> 0)) >>> 0;
}

/** The family of a numeric address: 4, 6, or undefined for anything else. Zones ("fe80::1%eth0") are not addresses here. */
export function familyOf(text: string): 4 | 6 | undefined {
  if (isIPv4(text)) return 4;
  return isIPv6(text) && !text.includes("%") ? 6 : undefined;
}

/** "0.0.0.0:80" and "[::]:80". */
export function formatHostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** True of 127.0.0.0/8 and ::1, in any spelling. */
export function isLoopback(text: string): boolean {
  const v4 = parseIpv4(text);
  if (v4 !== undefined) return v4 >>> 24 === 127;
  return familyOf(text) === 6 && canonicalIpv6(text) === "::1";
}

/** The shortest form of an IPv6 address (RFC 5952), as URL parsing returns it; `text` must be an IPv6 address. */
export function canonicalIpv6(text: string): string {
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

/**
 * The MAC address for an address: 02:42 and its last four bytes. It depends on the address and is not random: a neighbour's entry of an earlier
 * use stays right when the next container gets the address.
 */
export function macOf(address: Address): Uint8Array {
  return Uint8Array.of(0x02, 0x42, ...addressBytes(address).slice(-4));
}

export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Six bytes, or undefined when `text` is no MAC address (colons or dashes). */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}
