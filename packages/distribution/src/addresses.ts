/** Host names and address ranges, for decisions about trust. */
import { BlockList, isIP } from "node:net";
import type { AddressPrefix } from "@fathom/spec";

export function isInRange(address: string, range: AddressPrefix): boolean {
  const version = isIP(address);
  if ((version === 4 ? "ipv4" : "ipv6") !== range.family || version === 0) return false;
  const list = new BlockList();
  list.addSubnet(range.address, range.bits, range.family);
  return list.check(address, range.family);
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
