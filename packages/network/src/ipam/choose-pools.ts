/** Which addresses a network gets. Pure decisions. */
import { EngineError } from "@fathom/base";
import type { AddressPoolSettings, NetworkPool, NetworkPoolSettings } from "../contract.ts";
import { contains, formatIpv4, formatSubnet, overlaps, parseCidr, parseIpv4, type Subnet } from "./ip.ts";
import { chooseSubnet } from "./pool.ts";

export interface PoolsRequest {
  /** Of the network, for warnings. */
  readonly name: string;
  /** As the user or the settings want them; empty for any. */
  readonly wanted: readonly NetworkPoolSettings[];
  /** As the network had them before; empty for a new one. */
  readonly before: readonly NetworkPool[];
  /** Whether containers run in the network as it was before: then it stays, whatever routes say. */
  readonly inUse: boolean;
  readonly addressPools: readonly AddressPoolSettings[];
  /** Destinations of the host's routes that do not leave by the network itself, and subnets of other networks. */
  readonly taken: readonly Subnet[];
}

export interface ChosenPools {
  readonly pools: readonly NetworkPool[];
  readonly warnings: readonly string[];
}

/**
 * The pools of a network: as wanted, or as they were before, or the first subnet that nothing touches.
 * @throws invalid-argument for a subnet that makes no sense, not-implemented for IPv6, resource-exhausted when no subnet is free.
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
