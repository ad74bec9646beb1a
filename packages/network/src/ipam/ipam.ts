/** The source of the addresses of networks and endpoints. The engine's own keeps them in memory; a plugin would be another `Ipam`. */
import { EngineError, type Clock } from "@fathom/base";
import type { EndpointAddress, Family, NetworkInfo, NetworkPool } from "../contract.ts";
import { choosePools, type ChosenPools, type PoolsRequest } from "./choose-pools.ts";
import { SubnetAddresses } from "./pool.ts";
import { formatAddress, parseAddress, parsePrefix, prefixContains, type Address } from "./prefix.ts";

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
   * @returns undefined when none is free
   * @throws conflict when the requested one is taken, invalid-argument when it is not in this subnet
   */
  request(holder: string, address?: string): Promise<EndpointAddress | undefined>;
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
  readonly family: Family;
  readonly gateway: string;
  readonly #addresses: SubnetAddresses;

  constructor({ family, subnet: text, gateway: of, range, reserved = {} }: NetworkPool, clock: Clock) {
    const subnet = parsePrefix(text)?.prefix;
    const gateway = parseAddress(of);
    if (subnet?.family !== family || gateway?.family !== family)
      throw new EngineError("data-loss", `addresses of ${text} with the gateway ${of} cannot be given out`);
    this.family = family;
    this.gateway = of;
    const others = Object.values(reserved).flatMap((address) => parseAddress(address) ?? []);
    const settings = { subnet, range: parsePrefix(range ?? "")?.prefix, reserved: [gateway, ...others] };
    this.#addresses = new SubnetAddresses(settings, () => clock.monotonicMs());
  }

  contains(text: string): boolean {
    const address = parseAddress(text);
    return address !== undefined && prefixContains(this.#addresses.subnet, address);
  }

  async request(holder: string, address?: string): Promise<EndpointAddress | undefined> {
    if (address !== undefined) {
      this.take(address);
      return this.#endpointAddress(parseAddress(address)!);
    }
    const free = this.#addresses.allocate(holder);
    return free === undefined ? undefined : this.#endpointAddress(free);
  }

  take(text: string): void {
    const address = parseAddress(text);
    if (address === undefined) throw new EngineError("invalid-argument", `invalid IP address: ${text}`);
    this.#addresses.take(address);
  }

  async release(text: string, holder: string): Promise<void> {
    const address = parseAddress(text);
    if (address !== undefined) this.#addresses.release(address, holder);
  }

  #endpointAddress(address: Address): EndpointAddress {
    return { family: this.family, address: formatAddress(address), prefixLength: this.#addresses.subnet.bits };
  }
}

const familyWords = { ipv4: "IPv4", ipv6: "IPv6" } as const;

/** All pools of one network: an endpoint gets an address of each family that the network has. */
export class NetworkAddresses {
  readonly #network: Pick<NetworkInfo, "id" | "name">;
  readonly #pools: readonly AddressPool[];

  private constructor(network: Pick<NetworkInfo, "id" | "name">, pools: readonly AddressPool[]) {
    this.#network = network;
    this.#pools = pools;
  }

  static async open(ipam: Ipam, network: Pick<NetworkInfo, "id" | "name" | "pools">): Promise<NetworkAddresses> {
    return new NetworkAddresses(network, await Promise.all(network.pools.map((pool) => ipam.open(pool))));
  }

  /**
   * All or none. `wanted`: addresses that the user chose, at most one per family.
   * @throws resource-exhausted when none is free, conflict when a chosen one is taken
   */
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
      const taken = await pool?.request(holder, address);
      if (taken !== undefined) return taken;
    }
    for (const pool of pools) {
      const free = await pool.request(holder);
      if (free !== undefined) return free;
    }
    const { id, name } = this.#network;
    throw new EngineError(
      "resource-exhausted",
      `no available ${familyWords[family]} addresses on this network's address pools: ${name} (${id})`,
    );
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
