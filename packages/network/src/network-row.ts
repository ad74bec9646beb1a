/** Rows of networks, made from what is wanted or from what runs. Pure. */
import type { Endpoint, NetworkInfo, NetworkPool, NetworkSettings } from "./contract.ts";
import { formatSubnet, parseCidr } from "./ipam/ip.ts";

/** What was stored before keeps its birth and its labels. */
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

/** The network of the settings as an endpoint of it has it: for a database that does not know the network, since it was made anew or is from an older backup. */
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
