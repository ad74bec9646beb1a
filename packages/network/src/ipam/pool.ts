/** The addresses of one IPv4 subnet, and Docker's default pools that subnets come from. */
import { EngineError } from "@fathom/base";
import type { AddressPoolSettings } from "../contract.ts";
import { broadcastOf, contains, formatIpv4, formatSubnet, overlaps, parseCidr, type Ipv4, type Subnet } from "./ip.ts";

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

/**
 * The first subnet of the pools that overlaps nothing in `used`: other networks' subnets and destinations of the host's routes.
 * @throws resource-exhausted when every pool is used up.
 */
export function chooseSubnet(pools: readonly AddressPoolSettings[], used: readonly Subnet[]): Subnet {
  for (const pool of pools) {
    const base = parseCidr(pool.base)?.subnet;
    if (base === undefined || pool.size < base.prefixLength || pool.size > 30)
      throw new EngineError("invalid-argument", `invalid address pool ${pool.base} of size ${pool.size}`);
    const step = 2 ** (32 - pool.size);
    const count = 2 ** (pool.size - base.prefixLength);
    for (let index = 0; index < count; index++) {
      const candidate: Subnet = { address: base.address + index * step, prefixLength: pool.size };
      if (!used.some((subnet) => overlaps(subnet, candidate))) return candidate;
    }
  }
  throw new EngineError("resource-exhausted", "all predefined address pools have been fully subnetted");
}

/** How long a released address rests, so that the new holder does not get packets for the old one. */
const restMs = 2000;

/** The addresses of one subnet. The lowest free address is given out; a recently released one only when no other is left. */
export class Ipv4Pool {
  readonly subnet: Subnet;
  readonly gateway: Ipv4;
  readonly #taken = new Set<Ipv4>();
  /** Address → monotonic time of its release, and its holder. In the order of release. */
  readonly #resting = new Map<Ipv4, { readonly since: number; readonly holder: string }>();
  readonly #nowMs: () => number;
  /** No address below it is free. */
  #lowest: Ipv4;

  constructor(subnet: Subnet, gateway: Ipv4, nowMs: () => number) {
    this.subnet = subnet;
    this.gateway = gateway;
    this.#nowMs = nowMs;
    this.#lowest = subnet.address + 1;
    this.#taken.add(gateway);
  }

  /**
   * A holder that comes back while its address rests gets it again: a restarted container keeps its address.
   * @throws resource-exhausted when none is free.
   */
  allocate(holder: string): Ipv4 {
    const now = this.#nowMs();
    for (const [address, { since }] of this.#resting) {
      if (now - since < restMs) break;
      this.#resting.delete(address);
    }
    for (const [address, resting] of this.#resting)
      if (resting.holder === holder) {
        this.#resting.delete(address);
        this.#taken.add(address);
        return address;
      }
    const end = broadcastOf(this.subnet);
    let blocked = true;
    for (let address = this.#lowest; address < end; address++) {
      if (this.#taken.has(address)) {
        if (blocked) this.#lowest = address + 1;
        continue;
      }
      blocked = false;
      if (this.#resting.has(address)) continue;
      this.#taken.add(address);
      return address;
    }
    // Every free address was released recently: use the one that has rested longest.
    const [oldest] = this.#resting.keys();
    if (oldest === undefined)
      throw new EngineError("resource-exhausted", `no available IPv4 addresses on subnet ${formatSubnet(this.subnet)}`);
    this.#resting.delete(oldest);
    this.#taken.add(oldest);
    return oldest;
  }

  /**
   * Takes one certain address.
   * @throws invalid-argument outside the subnet, conflict when it is taken.
   */
  take(address: Ipv4): void {
    if (!contains(this.subnet, address) || address === this.subnet.address || address === broadcastOf(this.subnet))
      throw new EngineError("invalid-argument", `no configured subnet contains IP address ${formatIpv4(address)}`);
    if (this.#taken.has(address)) throw new EngineError("conflict", "Address already in use");
    this.#resting.delete(address);
    this.#taken.add(address);
  }

  release(address: Ipv4, holder: string): void {
    if (address === this.gateway || !this.#taken.delete(address)) return;
    this.#resting.set(address, { since: this.#nowMs(), holder });
    if (address < this.#lowest) this.#lowest = address;
  }

  has(address: Ipv4): boolean {
    return this.#taken.has(address);
  }
}
