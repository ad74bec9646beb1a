/** The addresses of one subnet, and Docker's default pools that subnets come from. */
import { EngineError } from "@fathom/base";
import type { AddressPoolSettings, Family } from "../contract.ts";
import {
  formatAddress,
  lastOf,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  widths,
  type Address,
  type Prefix,
} from "./prefix.ts";

/** Docker's default pools, in the order in which they are tried. */
export const defaultAddressPools: readonly AddressPoolSettings[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/16", size: 16 },
  { base: "172.19.0.0/16", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
];

/** The longest prefix of a subnet with room for a gateway and a container. */
export const longestPrefix = { ipv4: 30, ipv6: 126 } as const;

/**
 * The first subnet of the pools that overlaps nothing in `used`: other networks' subnets and destinations of the host's routes.
 * @throws resource-exhausted when every pool is used up.
 */
export function chooseSubnet(pools: readonly AddressPoolSettings[], family: Family, used: readonly Prefix[]): Prefix {
  for (const { base: text, size } of pools) {
    const base = parsePrefix(text)?.prefix;
    if (base === undefined || size < base.bits || size > longestPrefix[base.family])
      throw new EngineError("invalid-argument", `invalid address pool ${text} of size ${size}`);
    if (base.family !== family) continue;
    const step = 1n << BigInt(widths[family] - size);
    let candidate: Prefix = { family, value: base.value, bits: size };
    while (candidate.value <= lastOf(base)) {
      const clash = used.find((other) => prefixesOverlap(other, candidate));
      if (clash === undefined) return candidate;
      // The first subnet after the clash: so each of `used` is met at most once.
      const end = lastOf(clash.bits < size ? clash : candidate);
      candidate = { ...candidate, value: (end / step + 1n) * step };
    }
  }
  throw new EngineError("resource-exhausted", "all predefined address pools have been fully subnetted");
}

/** How long a released address rests, so that the new holder does not get packets for the old one. */
const restMs = 2000;

export interface SubnetSettings {
  readonly subnet: Prefix;
  /** Addresses that nobody chose come from here; the whole subnet when undefined. */
  readonly range: Prefix | undefined;
  /** Never given out: the gateway, and the network's auxiliary addresses. */
  readonly reserved: readonly Address[];
}

/** The addresses of one subnet. The lowest free address is given out; a recently released one only when no other is left. */
export class SubnetAddresses {
  readonly subnet: Prefix;
  readonly #reserved: ReadonlySet<bigint>;
  readonly #taken = new Set<bigint>();
  /** Address → monotonic time of its release, and its holder. In the order of release. */
  readonly #resting = new Map<bigint, { readonly since: number; readonly holder: string }>();
  readonly #nowMs: () => number;
  /** No address of the range below it is free. */
  #lowest: bigint;
  readonly #first: bigint;
  readonly #last: bigint;

  constructor({ subnet, range, reserved }: SubnetSettings, nowMs: () => number) {
    this.subnet = subnet;
    this.#nowMs = nowMs;
    this.#reserved = new Set(reserved.map(({ value }) => value));
    const { first, last } = givenOut(subnet, range);
    this.#lowest = first;
    this.#first = first;
    this.#last = last;
    for (const value of this.#reserved) this.#taken.add(value);
  }

  /**
   * A holder that comes back while its address rests gets it again: a restarted container keeps its address.
   * @returns undefined when none is free
   */
  allocate(holder: string): Address | undefined {
    const now = this.#nowMs();
    for (const [value, { since }] of this.#resting) {
      if (now - since < restMs) break;
      this.#resting.delete(value);
    }
    for (const [value, resting] of this.#resting)
      if (resting.holder === holder && this.#isInRange(value)) return this.#hold(value);
    let blocked = true;
    for (let value = this.#lowest; value <= this.#last; value++) {
      if (this.#taken.has(value)) {
        if (blocked) this.#lowest = value + 1n;
        continue;
      }
      blocked = false;
      if (!this.#resting.has(value)) return this.#hold(value);
    }
    // Every free address was released recently: use the one that has rested longest.
    for (const value of this.#resting.keys()) if (this.#isInRange(value)) return this.#hold(value);
    return undefined;
  }

  #isInRange(value: bigint): boolean {
    return value >= this.#first && value <= this.#last;
  }

  #hold(value: bigint): Address {
    this.#resting.delete(value);
    this.#taken.add(value);
    return { family: this.subnet.family, value };
  }

  /**
   * Takes one certain address.
   * @throws invalid-argument outside the subnet, conflict when it is taken.
   */
  take(address: Address): void {
    const { first, last } = givenOut(this.subnet, undefined);
    if (!prefixContains(this.subnet, address) || address.value < first || address.value > last)
      throw new EngineError("invalid-argument", `no configured subnet contains IP address ${formatAddress(address)}`);
    if (this.#taken.has(address.value)) throw new EngineError("conflict", "Address already in use");
    this.#hold(address.value);
  }

  release({ value }: Address, holder: string): void {
    if (this.#reserved.has(value) || !this.#taken.delete(value)) return;
    this.#resting.set(value, { since: this.#nowMs(), holder });
    if (value < this.#lowest && value >= this.#first) this.#lowest = value;
  }

  has({ value }: Address): boolean {
    return this.#taken.has(value);
  }
}

/** The first and the last address that endpoints may have. The first of a subnet names the subnet; the last of an IPv4 subnet is its broadcast address. */
export function givenOut(subnet: Prefix, range: Prefix | undefined): { readonly first: bigint; readonly last: bigint } {
  const wholeSubnet = { first: subnet.value + 1n, last: lastOf(subnet) - (subnet.family === "ipv4" ? 1n : 0n) };
  if (range === undefined) return wholeSubnet;
  const [first, last] = [range.value, lastOf(range)];
  return {
    first: first > wholeSubnet.first ? first : wholeSubnet.first,
    last: last < wholeSubnet.last ? last : wholeSubnet.last,
  };
}
