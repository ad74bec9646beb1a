/** The source of the addresses of networks and endpoints. The engine's own keeps them in memory; a plugin would be another `Ipam`. */
import { EngineError, type Clock } from "@fathom/base";
import type { EndpointAddress, Family, NetworkPool } from "../contract.ts";
import { choosePools, type ChosenPools, type PoolsRequest } from "./choose-pools.ts";
import { contains, formatIpv4, parseCidr, parseIpv4, type Ipv4 } from "./ip.ts";
import { Ipv4Pool } from "./pool.ts";

export interface Ipam {
  /** The subnets of a network. @throws as `choosePools` */
  choose(request: PoolsRequest): Promise<ChosenPools>;
  /** The addresses of a chosen subnet, chosen now or by an earlier daemon. */
  open(pool: NetworkPool): Promise<AddressPool>;
  /** Called when the network of these subnets was removed. Subnets that belong to no network are not an error. */
  release(pools: readonly NetworkPool[]): Promise<void>;
}

/** The addresses of one subnet. */
export interface AddressPool {
  readonly family: Family;
  readonly gateway: string;
  contains(address: string): boolean;
  /**
   * The next free address, or the requested one.
   * @throws resource-exhausted when none is free, conflict when the requested one is taken, invalid-argument when it is not in this subnet
   */
  request(holder: string, address?: string): Promise<EndpointAddress>;
  /** For a container that already runs. @throws as `request` */
  take(address: string): void;
  /** An address that is free already is no error. */
  release(address: string, holder: string): Promise<void>;
}

export function createIpam(clock: Clock): Ipam {
  return {
    choose: async (request) => choosePools(request),
    open: async (pool) => new LocalPool(pool, clock),
    // Nothing to do: the rows of the networks say which subnets are taken.
    release: async () => undefined,
  };
}

class LocalPool implements AddressPool {
  readonly family = "ipv4";
  readonly gateway: string;
  readonly #pool: Ipv4Pool;

  constructor({ subnet: text, gateway: of }: NetworkPool, clock: Clock) {
    const parsed = parseCidr(text);
    const gateway = parseIpv4(of);
    if (parsed === undefined || gateway === undefined)
      throw new EngineError("not-implemented", `addresses of ${text} cannot be given out: only IPv4 is supported`);
    this.gateway = of;
    this.#pool = new Ipv4Pool(parsed.subnet, gateway, () => clock.monotonicMs());
  }

  contains(address: string): boolean {
    const number = parseIpv4(address);
    return number !== undefined && contains(this.#pool.subnet, number);
  }

  async request(holder: string, address?: string): Promise<EndpointAddress> {
    if (address === undefined) return this.#endpointAddress(this.#pool.allocate(holder));
    this.take(address);
    return this.#endpointAddress(parseIpv4(address)!);
  }

  take(address: string): void {
    const number = parseIpv4(address);
    if (number === undefined) throw new EngineError("invalid-argument", `invalid IPv4 address: ${address}`);
    this.#pool.take(number);
  }

  async release(address: string, holder: string): Promise<void> {
    const number = parseIpv4(address);
    if (number !== undefined) this.#pool.release(number, holder);
  }

  #endpointAddress(address: Ipv4): EndpointAddress {
    return { family: "ipv4", address: formatIpv4(address), prefixLength: this.#pool.subnet.prefixLength };
  }
}

/** All pools of one network: an endpoint gets an address of each family that the network has. */
export class NetworkAddresses {
  readonly #pools: readonly AddressPool[];

  constructor(pools: readonly AddressPool[]) {
    this.#pools = pools;
  }

  static async open(ipam: Ipam, pools: readonly NetworkPool[]): Promise<NetworkAddresses> {
    return new NetworkAddresses(await Promise.all(pools.map((pool) => ipam.open(pool))));
  }

  /** All or none. `wanted`: addresses that the user chose, at most one per family. */
  async request(holder: string, wanted: readonly string[]): Promise<readonly EndpointAddress[]> {
    const given: EndpointAddress[] = [];
    try {
      for (const family of new Set(this.#pools.map((pool) => pool.family)))
        given.push(await this.#one(family, holder, wanted));
      return given;
    } catch (error) {
      await this.release(given, holder);
      throw error;
    }
  }

  async #one(family: Family, holder: string, wanted: readonly string[]): Promise<EndpointAddress> {
    const pools = this.#pools.filter((pool) => pool.family === family);
    for (const address of wanted) {
      const pool = pools.find((candidate) => candidate.contains(address));
      if (pool !== undefined) return pool.request(holder, address);
    }
    let full: unknown;
    for (const pool of pools)
      try {
        return await pool.request(holder);
      } catch (error) {
        // The next subnet may have a free one; the user sees the error of the first.
        full ??= error;
      }
    throw full;
  }

  /** The gateway of each address: the gateway of its own subnet. */
  gatewaysOf(addresses: readonly EndpointAddress[]): Readonly<Partial<Record<Family, string>>> {
    const gateways: Partial<Record<Family, string>> = {};
    for (const { family, address } of addresses) {
      const gateway = this.#poolOf(address)?.gateway;
      if (gateway !== undefined) gateways[family] ??= gateway;
    }
    return gateways;
  }

  #poolOf(address: string): AddressPool | undefined {
    return this.#pools.find((pool) => pool.contains(address));
  }

  /** An address of a container that already runs. @throws as `AddressPool.take` */
  take({ address }: EndpointAddress): void {
    const pool = this.#poolOf(address);
    if (pool === undefined)
      throw new EngineError("invalid-argument", `no configured subnet contains IP address ${address}`);
    pool.take(address);
  }

  async release(addresses: readonly EndpointAddress[], holder: string): Promise<void> {
    for (const { address } of addresses) await this.#poolOf(address)?.release(address, holder);
  }
}
