/** Ranges of addresses as text: "10.0.0.0/8" and "fd00::/8". */
import { isIP } from "node:net";

export interface AddressPrefix {
  /** As it is written: bits after the prefix may be set. */
  readonly address: string;
  /** The length of the prefix. */
  readonly bits: number;
  readonly family: "ipv4" | "ipv6";
}

/** undefined for anything else, and for an address with a zone */
export function parseAddressPrefix(text: string): AddressPrefix | undefined {
  const match = /^([0-9a-fA-F:.]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  if (!match) return undefined;
  const address = match[1]!;
  const bits = Number(match[2]);
  const version = isIP(address);
  if (version === 0 || bits > (version === 4 ? 32 : 128)) return undefined;
  return { address, bits, family: version === 4 ? "ipv4" : "ipv6" };
}
