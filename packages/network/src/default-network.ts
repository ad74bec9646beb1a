/** What the default networks look like: the bridge's address and the rows of `bridge`, `host` and `none`. Pure decisions. */
import { EngineError, randomId } from "@fathom/base";
import type { Endpoint, NetworkConfig, NetworkInfo } from "./contract.ts";
import {
  contains,
  formatIpv4,
  formatSubnet,
  overlaps,
  parseCidr,
  parseIpv4,
  parseMac,
  type Ipv4,
  type Subnet,
} from "./ipam/ip.ts";
import { chooseSubnet } from "./ipam/pool.ts";

export interface BridgeAddress {
  readonly gateway: Ipv4;
  readonly subnet: Subnet;
}

/**
 * The bridge's address: as configured, or as it was before, or the first pool that no route of the host touches.
 * @param routed Destinations of the host's routes that do not leave by the bridge itself.
 * @param inUse Whether containers run in the network as it was before: then it stays, whatever routes say.
 * @throws invalid-argument for a bad --bip, resource-exhausted when no pool is free.
 */
export function chooseBridgeAddress(
  config: Pick<NetworkConfig, "bridgeAddress" | "addressPools">,
  before: NetworkInfo | undefined,
  routed: readonly Subnet[],
  inUse: boolean,
): BridgeAddress & { readonly warning?: string } {
  if (config.bridgeAddress !== undefined) {
    const parsed = parseCidr(config.bridgeAddress);
    if (parsed === undefined || parsed.subnet.prefixLength > 30 || parsed.address === parsed.subnet.address)
      throw new EngineError(
        "invalid-argument",
        `invalid bridge address ${config.bridgeAddress}: an address with a prefix length is needed, as 172.17.0.1/16`,
      );
    const clash = routed.find((other) => overlaps(other, parsed.subnet));
    return {
      gateway: parsed.address,
      subnet: parsed.subnet,
      ...(clash === undefined
        ? {}
        : {
            warning: `the bridge's subnet ${formatSubnet(parsed.subnet)} overlaps a route of this host to ${formatSubnet(clash)}`,
          }),
    };
  }
  const subnet = parseCidr(before?.subnet ?? "")?.subnet;
  const gateway = parseIpv4(before?.gateway ?? "");
  let warning: string | undefined;
  if (subnet !== undefined && gateway !== undefined && contains(subnet, gateway)) {
    const clash = routed.find((other) => overlaps(other, subnet));
    if (clash === undefined) return { gateway, subnet };
    warning =
      `a route of this host to ${formatSubnet(clash)} overlaps the bridge's subnet ${formatSubnet(subnet)}` +
      (inUse ? ", which stays because containers run in it" : ": another one is taken");
    if (inUse) return { gateway, subnet, warning };
  }
  const chosen = chooseSubnet(config.addressPools, routed);
  return { gateway: chosen.address + 1, subnet: chosen, ...(warning === undefined ? {} : { warning }) };
}

/** Options of the default bridge as `network inspect` shows them; mtu in bytes. */
export function bridgeOptions(config: NetworkConfig, mtu: number): Readonly<Record<string, string>> {
  return {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": String(config.interContainerCommunication),
    "com.docker.network.bridge.enable_ip_masquerade": String(config.ipMasquerade),
    "com.docker.network.bridge.host_binding_ipv4": config.defaultBindAddress,
    "com.docker.network.bridge.name": config.bridgeName,
    "com.docker.network.driver.mtu": String(mtu),
  };
}

/** A default network's row: what was stored before keeps its id, its birth and its labels. */
export function networkRow(
  before: NetworkInfo | undefined,
  now: string,
  network: {
    readonly name: string;
    readonly driver: NetworkInfo["driver"];
    readonly address?: BridgeAddress;
    readonly options?: Readonly<Record<string, string>>;
  },
): NetworkInfo {
  const { name, driver, address, options = {} } = network;
  return {
    id: before?.id ?? randomId(),
    name,
    driver,
    createdAt: before?.createdAt ?? now,
    subnet: address === undefined ? undefined : formatSubnet(address.subnet),
    gateway: address === undefined ? undefined : formatIpv4(address.gateway),
    options,
    labels: before?.labels ?? {},
  };
}

/**
 * The bridge's network as an endpoint of it has it: for a database that does not know the network, since it was made anew or is from an older backup. Only
 * the default bridge gives endpoints.
 */
export function networkOfEndpoint(endpoint: Endpoint, now: string): NetworkInfo | undefined {
  const parsed = parseCidr(`${endpoint.gateway}/${endpoint.ipv4PrefixLength}`);
  if (parsed === undefined) return undefined;
  const address = { gateway: parsed.address, subnet: parsed.subnet };
  return { ...networkRow(undefined, now, { name: "bridge", driver: "bridge", address }), id: endpoint.networkId };
}

/** @throws invalid-argument for what is no MAC address, or none that an interface may have */
export function checkMacAddress(text: string): void {
  const mac = parseMac(text);
  if (mac === undefined) throw new EngineError("invalid-argument", `${text} is not a valid mac address`);
  if ((mac[0]! & 1) === 1)
    throw new EngineError(
      "invalid-argument",
      `${text} is a multicast mac address: an interface needs one of its own, whose first byte is even`,
    );
}

/**
 * Docker's rules for what a user may ask of an endpoint. Meant for the moment a container is created; attach holds them too.
 * @throws invalid-argument in dockerd's words.
 */
export function checkEndpointSettings(
  network: NetworkInfo,
  settings: { readonly ipv4Address?: string; readonly macAddress?: string },
): void {
  const { ipv4Address, macAddress } = settings;
  if (macAddress !== undefined) checkMacAddress(macAddress);
  if (ipv4Address === undefined || ipv4Address === "") return;
  const address = parseIpv4(ipv4Address);
  if (address === undefined) throw new EngineError("invalid-argument", `invalid IPv4 address: ${ipv4Address}`);
  const problems = ["user-specified IP address is supported on user-defined networks only"];
  const subnet = parseCidr(network.subnet ?? "")?.subnet;
  if (subnet === undefined || !contains(subnet, address))
    problems.push(`no configured subnet contains IP address ${ipv4Address}`);
  const list = problems.length === 1 ? problems : problems.map((problem) => `* ${problem}`);
  throw new EngineError(
    "invalid-argument",
    `invalid config for network ${network.name}: invalid endpoint settings:\n${list.join("\n")}`,
  );
}
