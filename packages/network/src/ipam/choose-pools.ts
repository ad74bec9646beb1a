/** Chooses the addresses of a network. Pure functions. */
import { EngineError } from "@fathom/base";
import type { AddressPoolSettings, Family, NetworkPool, NetworkPoolSettings } from "../contract.ts";
import { chooseSubnet, givenOut, longestPrefix } from "./pool.ts";
import {
  formatAddress,
  formatPrefix,
  parseAddress,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  type Prefix,
} from "./prefix.ts";

export interface PoolsRequest {
  /** Name of the network, for warnings. */
  readonly name: string;
  /** The families of the network's addresses. */
  readonly families: readonly Family[];
  /** The pools that the user or the settings request. A family without one gets any. */
  readonly wanted: readonly NetworkPoolSettings[];
  /** The earlier pools of the network; empty for a new one. */
  readonly before: readonly NetworkPool[];
  /** Whether containers run in the earlier network: then it stays, whatever the routes are. */
  readonly inUse: boolean;
  readonly addressPools: readonly AddressPoolSettings[];
  /** Destinations of the host's routes that do not use the network itself, and subnets of other networks. */
  readonly taken: readonly Prefix[];
}

export interface ChosenPools {
  readonly pools: readonly NetworkPool[];
  readonly warnings: readonly string[];
}

/**
 * The pools of a network: for each family the requested ones, or the earlier ones, or the first subnet that overlaps nothing.
 * @throws invalid-argument for an invalid subnet, resource-exhausted when no subnet is free.
 */
export function choosePools(request: PoolsRequest): ChosenPools {
  const chosen = request.families.map((family) => poolsOf(family, request));
  return { pools: chosen.flatMap(({ pools }) => pools), warnings: chosen.flatMap(({ warnings }) => warnings) };
}

function poolsOf(family: Family, request: PoolsRequest): ChosenPools {
  const { name, inUse, addressPools, taken } = request;
  const wanted = request.wanted.filter((pool) => pool.family === family);
  const before = request.before.filter((pool) => pool.family === family);
  const clashOf = (text: string): Prefix | undefined => {
    const subnet = parsePrefix(text)!.prefix;
    return taken.find((other) => prefixesOverlap(other, subnet));
  };
  if (wanted.length > 0) {
    const pools = wanted.map(asPool);
    const warnings = pools.flatMap(({ subnet }) => {
      const clash = clashOf(subnet);
      return clash === undefined
        ? []
        : [`the subnet ${subnet} of the network ${name} overlaps a route of this host to ${formatPrefix(clash)}`];
    });
    return { pools, warnings };
  }
  const warnings: string[] = [];
  if (before.length > 0 && before.every(isSound)) {
    const clashes = before.flatMap(({ subnet }) => {
      const clash = clashOf(subnet);
      return clash === undefined
        ? []
        : [`a route of this host to ${formatPrefix(clash)} overlaps the subnet ${subnet} of the network ${name}`];
    });
    const ending = inUse ? ", which stays because containers run in it" : ": another one is taken";
    warnings.push(...clashes.map((clash) => clash + ending));
    if (clashes.length === 0 || inUse) return { pools: before, warnings };
  }
  const subnet = chooseSubnet(addressPools, family, taken);
  const gateway = formatAddress({ family, value: subnet.value + 1n });
  return { pools: [{ family, subnet: formatPrefix(subnet), gateway }], warnings };
}

function asPool({ family, subnet: text, gateway: wanted, range: part, reserved }: NetworkPoolSettings): NetworkPool {
  const parsed = parsePrefix(text);
  if (
    parsed === undefined ||
    parsed.prefix.family !== family ||
    parsed.prefix.bits > longestPrefix[family] ||
    parsed.address.value !== parsed.prefix.value
  )
    throw new EngineError(
      "invalid-argument",
      `invalid subnet ${text}: a network with a prefix length is needed, as ${family === "ipv4" ? "172.20.0.0/16" : "fd00:20::/64"}`,
    );
  const subnet = parsed.prefix;
  const range = part === undefined ? undefined : parsePrefix(part)?.prefix;
  if (part !== undefined && (range === undefined || !isPartOf(range, subnet)))
    throw new EngineError(
      "invalid-argument",
      `invalid range ${part} of subnet ${text}: a part of the subnet is needed`,
    );
  for (const address of Object.values(reserved ?? {})) mustContain(subnet, address, "address");
  const gateway =
    wanted === undefined ? { family, value: givenOut(subnet, range).first } : mustContain(subnet, wanted, "gateway");
  return {
    family,
    subnet: formatPrefix(subnet),
    gateway: formatAddress(gateway),
    ...(range === undefined ? {} : { range: formatPrefix(range) }),
    ...(reserved === undefined ? {} : { reserved }),
  };
}

function isPartOf(range: Prefix, subnet: Prefix): boolean {
  return range.bits >= subnet.bits && prefixContains(subnet, range);
}

function mustContain(subnet: Prefix, text: string, what: "gateway" | "address") {
  const address = parseAddress(text);
  if (address === undefined || !prefixContains(subnet, address))
    throw new EngineError(
      "invalid-argument",
      `invalid ${what} ${text} of subnet ${formatPrefix(subnet)}: an address of the subnet is needed`,
    );
  return address;
}

function isSound({ family, subnet: text, gateway: of }: NetworkPool): boolean {
  const subnet = parsePrefix(text)?.prefix;
  const gateway = parseAddress(of);
  return subnet !== undefined && subnet.family === family && gateway !== undefined && prefixContains(subnet, gateway);
}
