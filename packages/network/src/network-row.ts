/** Makes rows of networks from requested settings or from what runs. Pure functions. */
import type { Endpoint, NetworkInfo, NetworkPool, NetworkSettings } from "./contract.ts";
import { formatPrefix, parsePrefix } from "./ipam/prefix.ts";

/** A stored network keeps its creation time and its labels. */
export function networkRow(
  { name, driver, internal, labels, families = ["ipv4"], extension = {} }: NetworkSettings,
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
    families,
    pools,
    options,
    labels: before?.labels ?? labels,
    extension,
  };
}

/**
 * The network of the settings, made from one of its endpoints: for a database that does not have the network, because it was made again or is
 * from an older backup.
 */
export function networkOfEndpoint(endpoint: Endpoint, driver: string, now: string): NetworkInfo | undefined {
  const pools: NetworkPool[] = endpoint.addresses.flatMap(({ family, prefixLength }) => {
    const gateway = endpoint.gateways[family];
    const parsed = parsePrefix(`${gateway ?? ""}/${prefixLength}`);
    return gateway === undefined || parsed === undefined
      ? []
      : [{ family, subnet: formatPrefix(parsed.prefix), gateway }];
  });
  if (pools.length === 0) return undefined;
  const families = [...new Set(pools.map(({ family }) => family))];
  const settings = {
    name: endpoint.networkName,
    driver,
    families,
    pools: [],
    internal: false,
    options: {},
    labels: {},
  };
  return networkRow(settings, { id: endpoint.networkId, options: {}, pools, builtin: true, before: undefined, now });
}
