/** Host names and address ranges, for decisions about trust. */
import { BlockList, isIP } from "node:net";

export interface Cidr {
  readonly address: string;
  readonly bits: number;
  readonly family: "ipv4" | "ipv6";
}

/** Parses "10.0.0.0/8" or "fd00::/8"; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([0-9a-fA-F:.]+)\/(\d{1,3})$/.exec(text);
  const version = match ? isIP(match[1]!) : 0;
  if (!match || version === 0) return undefined;
  const bits = Number(match[2]);
  if (bits > (version === 4 ? 32 : 128)) return undefined;
  return { address: match[1]!, bits, family: version === 4 ? "ipv4" : "ipv6" };
}

export function inCidr(address: string, cidr: Cidr): boolean {
  const version = isIP(address);
  if ((version === 4 ? "ipv4" : "ipv6") !== cidr.family || version === 0) return false;
  const list = new BlockList();
  list.addSubnet(cidr.address, cidr.bits, cidr.family);
  return list.check(address, cidr.family);
}

/** Removes the port from "host:port" and the brackets from an IPv6 address. */
export function hostWithoutPort(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(host);
  if (bracketed) return bracketed[1]!;
  return isIP(host) === 6 ? host : host.replace(/:\d+$/, "");
}

/** True for localhost and for addresses in 127.0.0.0/8 and ::1, with or without a port. */
export function isLoopbackHost(host: string): boolean {
  const name = hostWithoutPort(host).toLowerCase();
  return name === "localhost" || name === "::1" || (isIP(name) === 4 && name.startsWith("127."));
}
