/** A network between start and stop: its row, its addresses, and what its driver made for it. */
import type { NetworkInfo } from "../contract.ts";
import type { DriverCapabilities, DriverNetwork } from "../driver/driver.ts";
import type { NetworkAddresses } from "../ipam/ipam.ts";

export interface LiveNetwork {
  readonly info: NetworkInfo;
  readonly capabilities: DriverCapabilities;
  readonly addresses: NetworkAddresses;
  readonly driven: DriverNetwork;
  /** Endpoints that are being made: meanwhile the network cannot be removed. */
  connecting: number;
}
