/** Chooses the addresses of a network. Pure functions. */
import { EngineError } from "@fathom/base";
import type { AddressPoolSettings, NetworkPool, NetworkPoolSettings } from "../contract.ts";
import { contains, formatIpv4, formatSubnet, overlaps, parseCidr, parseIpv4, type Subnet } from "./ip.ts";
import { chooseSubnet } from "./pool.ts";

export interface PoolsRequest {
  /** Name of the network, for warnings. */
  readonly name: string;
  /** The pools that the user or the settings request; empty for any. */
  readonly wanted: readonly NetworkPoolSettings[];
  /** The earlier pools of the network; empty for a new one. */
  readonly before: readonly NetworkPool[];
  /** Whether containers run in the earlier network: then it stays, whatever the routes are. */
  readonly inUse: boolean;
  readonly addressPools: readonly AddressPoolSettings[];
  /** Destinations of the host's routes that do not use the network itself, and subnets of other networks. */
  readonly taken: readonly Subnet[];
}

export interface ChosenPools {
  readonly pools: readonly NetworkPool[];
  readonly warnings: readonly string[];
}

/**
 * The pools of a network: the requested ones, or the earlier ones, or the first subnet that overlaps nothing.
 * @throws invalid-argument for an invalid subnet, not-implemented for IPv6, resource-exhausted when no subnet is free.
 */
export function choosePools(request: PoolsRequest): ChosenPools {
  const { name, wanted, before, inUse, addressPools, taken } = request;
  const clashOf = (subnet: Subnet): Subnet | undefined => taken.find((other) => overlaps(other, subnet));
  if (wanted.length > 0) {
    const pools = wanted.map(asPool);
    const warnings = pools.flatMap(({ subnet }) => {
      const clash = clashOf(parseCidr(subnet)!.subnet);
      return clash === undefined
        ? []
        : [`the subnet ${subnet} of the network ${name} overlaps a route of this host to ${formatSubnet(clash)}`];
    });
    return { pools, warnings };
  }
  const warnings: string[] = [];
  if (before.length > 0 && before.every(isSound)) {
    const clashes = before.flatMap(({ subnet }) => {
      const clash = clashOf(parseCidr(subnet)!.subnet);
      return clash === undefined
        ? []
        : [`a route of this host to ${formatSubnet(clash)} overlaps the subnet ${subnet} of the network ${name}`];
    });
    const ending = inUse ? ", which stays because containers run in it" : ": another one is taken";
    warnings.push(...clashes.map((clash) => clash + ending));
    if (clashes.length === 0 || inUse) return { pools: before, warnings };
  }
  const subnet = chooseSubnet(addressPools, taken);
  return {
    pools: [{ family: "ipv4", subnet: formatSubnet(subnet), gateway: formatIpv4(subnet.address + 1) }],
    warnings,
  };
}

function asPool({ family, subnet: text, gateway: wanted }: NetworkPoolSettings): NetworkPool {
  if (family === "ipv6") throw new EngineError("not-implemented", "networks with IPv6 are not supported yet");
  const parsed = parseCidr(text);
  if (parsed === undefined || parsed.subnet.prefixLength > 30 || parsed.address !== parsed.subnet.address)
    throw new EngineError(
      "invalid-argument",
      `invalid subnet ${text}: a network with a prefix length is needed, as 172.20.0.0/16`,
    );
  const gateway = wanted === undefined ? parsed.subnet.address + 1 : parseIpv4(wanted);
  if (gateway === undefined || !contains(parsed.subnet, gateway))
    throw new EngineError(
      "invalid-argument",
      `invalid gateway ${wanted} of subnet ${text}: an address of the subnet is needed`,
    );
  return { family, subnet: formatSubnet(parsed.subnet), gateway: formatIpv4(gateway) };
}

function isSound({ family, subnet: text, gateway: of }: NetworkPool): boolean {
  const subnet = parseCidr(text)?.subnet;
  const gateway = parseIpv4(of);
  return family === "ipv4" && subnet !== undefined && gateway !== undefined && contains(subnet, gateway);
}
