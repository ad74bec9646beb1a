/** Addresses and subnets of both families as numbers. (`ip.ts` has those of IPv4 alone, which the rules and the kernel's messages use.) */
import { isIPv4, isIPv6 } from "node:net";
import { parseAddressPrefix } from "@fathom/spec";
import type { Family } from "../contract.ts";

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** A subnet: an address whose host bits are zero, and the number of its other bits. */
export interface Prefix extends Address {
  readonly bits: number;
}

/** Bits of an address. */
export const widths = { ipv4: 32, ipv6: 128 } as const;

/** undefined for text that is no address. Zones ("fe80::1%eth0") are none. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: "ipv4", value: ofGroups(text.split(".").map(Number), 8n) };
  if (!isIPv6(text) || text.includes("%")) return undefined;
  // URL parsing writes every IPv6 address in the same form, without dotted parts.
  const [head = "", tail] = new URL(`http://[${text}]/`).hostname.slice(1, -1).split("::");
  const [before, after] = [head, tail ?? ""].map((half) =>
    half === "" ? [] : half.split(":").map((group) => Number.parseInt(group, 16)),
  );
  const zeros = Array.from({ length: 8 - before!.length - after!.length }, () => 0);
  return { family: "ipv6", value: ofGroups([...before!, ...zeros, ...after!], 16n) };
}

function ofGroups(groups: readonly number[], bits: bigint): bigint {
  return groups.reduce((value, group) => (value << bits) | BigInt(group), 0n);
}

/** In network order. */
export function addressBytes({ family, value }: Address): Uint8Array {
  const bytes = new Uint8Array(widths[family] / 8);
  let rest = value;
  for (let index = bytes.length - 1; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 255n);
  return bytes;
}

/** undefined when the number of bytes is that of no family. */
export function addressFromBytes(bytes: Uint8Array): Address | undefined {
  const family = bytes.length === 4 ? "ipv4" : bytes.length === 16 ? "ipv6" : undefined;
  return family === undefined ? undefined : { family, value: ofGroups([...bytes], 8n) };
}

export function formatAddress(address: Address): string {
  const bytes = addressBytes(address);
  if (address.family === "ipv4") return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16),
  );
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.bits}`;
}

/** "172.20.0.0/16" or "fd00::1/64": the written address, and its subnet. */
export function parsePrefix(text: string): { readonly address: Address; readonly prefix: Prefix } | undefined {
  const parsed = parseAddressPrefix(text);
  const address = parsed === undefined ? undefined : parseAddress(parsed.address);
  if (parsed === undefined || address === undefined || parsed.bits > widths[address.family]) return undefined;
  return { address, prefix: prefixOf(address, parsed.bits) };
}

export function prefixOf({ family, value }: Address, bits: number): Prefix {
  const shift = BigInt(widths[family] - bits);
  return { family, value: (value >> shift) << shift, bits };
}

/** The last address; the broadcast address of an IPv4 subnet. */
export function lastOf({ family, value, bits }: Prefix): bigint {
  return value | ((1n << BigInt(widths[family] - bits)) - 1n);
}

export function prefixContains(prefix: Prefix, { family, value }: Address): boolean {
  return family === prefix.family && value >= prefix.value && value <= lastOf(prefix);
}

export function prefixesOverlap(a: Prefix, b: Prefix): boolean {
  return prefixContains(a, b) || prefixContains(b, a);
}
