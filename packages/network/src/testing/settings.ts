/** For tests: the daemon's default options, and rows of networks in memory. */
import type { NetworkInfo, NetworkState } from "../contract.ts";
import type { DefaultNetworkOptions } from "../default-networks.ts";
import { defaultAddressPools } from "../ipam/pool.ts";

export const defaultOptions: DefaultNetworkOptions = {
  bridgeName: "fathom0",
  addressPools: defaultAddressPools,
  mtu: 0,
  ipForward: true,
  ipMasquerade: true,
  interContainerCommunication: true,
  defaultBindAddress: "0.0.0.0",
  userlandProxy: true,
};

/** Forwarding over IPv6 needs real sockets, which a kernel in memory does not have (ports/forwarders.test.ts). */
export const optionsInMemory: DefaultNetworkOptions = { ...defaultOptions, userlandProxy: false };

/** @param rows These rows stay when the manager ends. */
export function memoryState(
  rows = new Map<string, NetworkInfo>(),
): NetworkState & { readonly rows: Map<string, NetworkInfo> } {
  return {
    rows,
    networks: () => [...rows.values()],
    saveNetwork: (network) => void rows.set(network.id, network),
    removeNetwork: (id) => void rows.delete(id),
  };
}
