/** Which of a container's endpoints leads outside, and what depends on that. Pure functions. */
import type { Endpoint, Family } from "../contract.ts";

export const families: readonly Family[] = ["ipv4", "ipv6"];

type Candidate = Pick<Endpoint, "gateways" | "gatewayPriority" | "networkName">;

/** Docker's order: the higher priority, then the endpoint that leads outside with both families, then the network's name. */
function before(a: Candidate, b: Candidate): boolean {
  if (a.gatewayPriority !== b.gatewayPriority) return a.gatewayPriority > b.gatewayPriority;
  const [ofA, ofB] = [a, b].map(({ gateways }) => families.filter((family) => gateways[family] !== undefined).length);
  return ofA !== ofB ? ofA! > ofB! : a.networkName < b.networkName;
}

/** The endpoint of the default route of `family`; undefined when none has a gateway. */
export function gatewayOf<T extends Candidate>(endpoints: readonly T[], family: Family): T | undefined {
  let best: T | undefined;
  for (const endpoint of endpoints)
    if (endpoint.gateways[family] !== undefined && (best === undefined || before(endpoint, best))) best = endpoint;
  return best;
}

/** The endpoint with the container's published ports. IPv6 ports of the host use it too, because a forwarder changes the family. */
export function portsOwner<T extends Candidate>(endpoints: readonly T[]): T | undefined {
  return gatewayOf(endpoints, "ipv4") ?? gatewayOf(endpoints, "ipv6");
}

/** The addresses of the container's own name. */
export function ownAddresses(endpoints: readonly Endpoint[]): string[] {
  return endpoints.flatMap(({ addresses }) => addresses.map(({ address }) => address));
}

/** The lowest of eth0, eth1 … that is not in `taken`. */
export function freeInterfaceName(taken: readonly string[], prefix = "eth"): string {
  for (let index = 0; ; index++) if (!taken.includes(`${prefix}${index}`)) return `${prefix}${index}`;
}
