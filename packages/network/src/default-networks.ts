/** The networks that Docker's daemon always has, as settings: `bridge` (the default one), `host` and `none`. */
import { EngineError } from "@fathom/base";
import type { AddressPoolSettings, NetworkConfig, NetworkPoolSettings } from "./contract.ts";
import { bridgeOptions } from "./driver/bridge-options.ts";
import { formatIpv4, formatSubnet, parseCidr } from "./ipam/ip.ts";

/** The user's settings for them. */
export interface DefaultNetworkOptions {
  /** "172.17.0.1/16": address of the default bridge (--bip); when absent, a free subnet is chosen. */
  readonly bridgeAddress?: string;
  /** Name of the default bridge interface; by default "fathom0" (docker0 may belong to another engine). */
  readonly bridgeName: string;
  readonly addressPools: readonly AddressPoolSettings[];
  /** 0 for the MTU of the default route. */
  readonly mtu: number;
  readonly ipForward: boolean;
  readonly ipMasquerade: boolean;
  readonly interContainerCommunication: boolean;
  /** Host address for published ports that name none: "0.0.0.0". */
  readonly defaultBindAddress: string;
  readonly userlandProxy: boolean;
}

const usualBridge = "fathom0";

/** @throws invalid-argument for a bad --bip */
export function networkConfig(options: DefaultNetworkOptions): NetworkConfig {
  const { bridgeName, addressPools, ipForward, userlandProxy } = options;
  const plain = { pools: [], internal: false, options: {}, labels: {} };
  return {
    networks: [
      { ...plain, name: "host", driver: "host" },
      { ...plain, name: "none", driver: "null" },
      { ...plain, name: "bridge", driver: "bridge", pools: bridgePools(options), options: optionsOfBridge(options) },
    ],
    defaultNetwork: "bridge",
    addressPools,
    // One table a bridge name, so that two engines on one host do not replace each other's.
    ruleTable: bridgeName === usualBridge ? "fathom" : `fathom-${bridgeName}`,
    ipForward,
    userlandProxy,
  };
}

function bridgePools({ bridgeAddress }: DefaultNetworkOptions): NetworkPoolSettings[] {
  if (bridgeAddress === undefined) return [];
  const parsed = parseCidr(bridgeAddress);
  if (parsed === undefined || parsed.subnet.prefixLength > 30 || parsed.address === parsed.subnet.address)
    throw new EngineError(
      "invalid-argument",
      `invalid bridge address ${bridgeAddress}: an address with a prefix length is needed, as 172.17.0.1/16`,
    );
  return [{ family: "ipv4", subnet: formatSubnet(parsed.subnet), gateway: formatIpv4(parsed.address) }];
}

/** As `network inspect` shows them. */
function optionsOfBridge(options: DefaultNetworkOptions): Readonly<Record<string, string>> {
  return {
    [bridgeOptions.isDefault]: "true",
    [bridgeOptions.openBetween]: String(options.interContainerCommunication),
    [bridgeOptions.masquerade]: String(options.ipMasquerade),
    [bridgeOptions.bindAddress]: options.defaultBindAddress,
    [bridgeOptions.name]: options.bridgeName,
    [bridgeOptions.mtu]: String(Math.max(0, options.mtu)),
  };
}
