/** A network between start and stop: its row, its addresses, and what its driver made for it. */
import type { NetworkInfo } from "../contract.ts";
import type { DriverCapabilities, DriverNetwork } from "../driver/driver.ts";
import type { NetworkAddresses } from "../ipam/ipam.ts";

export interface LiveNetwork {
  readonly info: NetworkInfo;
  readonly capabilities: DriverCapabilities;
  readonly addresses: NetworkAddresses;
  readonly driven: DriverNetwork;
  /** Endpoints that are being made or removed: meanwhile the network cannot be removed. */
  changing: number;
}

/** Until it is disposed of, the networks cannot be removed. */
export function keepNetworks(networks: readonly LiveNetwork[]): Disposable {
  for (const network of networks) network.changing++;
  return {
    [Symbol.dispose]: () => {
      for (const network of networks) network.changing--;
    },
  };
}
