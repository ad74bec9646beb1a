/** Makes rows of networks from requested settings or from what runs. Pure functions. */
import type { Endpoint, NetworkInfo, NetworkPool, NetworkSettings } from "./contract.ts";
import { formatSubnet, parseCidr } from "./ipam/ip.ts";

/** A stored network keeps its creation time and its labels. */
export function networkRow(
  { name, driver, internal, labels }: NetworkSettings,
  decided: Pick<NetworkInfo, "id" | "options" | "pools" | "builtin"> & {
    readonly before: NetworkInfo | undefined;
    readonly now: string;
  },
): NetworkInfo {
  const { id, options, pools, builtin, before, now } = decided;
  return {
    id,
    name,
    driver,
    createdAt: before?.createdAt ?? now,
    builtin,
    internal,
    pools,
    options,
    labels: before?.labels ?? labels,
  };
}

/**
 * The network of the settings, made from one of its endpoints: for a database that does not have the network, because it was made again or is
 * from an older backup.
 */
export function networkOfEndpoint(endpoint: Endpoint, driver: string, now: string): NetworkInfo | undefined {
  const pools: NetworkPool[] = endpoint.addresses.flatMap(({ family, prefixLength }) => {
    const gateway = endpoint.gateways[family];
    const parsed = parseCidr(`${gateway ?? ""}/${prefixLength}`);
    return gateway === undefined || parsed === undefined
      ? []
      : [{ family, subnet: formatSubnet(parsed.subnet), gateway }];
  });
  if (pools.length === 0) return undefined;
  const settings = { name: endpoint.networkName, driver, pools: [], internal: false, options: {}, labels: {} };
  return networkRow(settings, { id: endpoint.networkId, options: {}, pools, builtin: true, before: undefined, now });
}
