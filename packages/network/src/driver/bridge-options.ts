/** The options of a bridge network, with Docker's names and Docker's checks. Pure functions. */
import { EngineError } from "@fathom/base";
import { parseBool } from "@fathom/spec";
import type { Family } from "../contract.ts";
import { familyOf } from "../ipam/ip.ts";
import { isInterfacePrefix } from "./interface-name.ts";

/** Docker's option names. */
export const bridgeOptions = {
  name: "com.docker.network.bridge.name",
  openBetween: "com.docker.network.bridge.enable_icc",
  masquerade: "com.docker.network.bridge.enable_ip_masquerade",
  bindAddress: "com.docker.network.bridge.host_binding_ipv4",
  mtu: "com.docker.network.driver.mtu",
  gatewayModeIpv4: "com.docker.network.bridge.gateway_mode_ipv4",
  gatewayModeIpv6: "com.docker.network.bridge.gateway_mode_ipv6",
  inhibitIpv4: "com.docker.network.bridge.inhibit_ipv4",
  interfacePrefix: "com.docker.network.container_iface_prefix",
  /** It has no meaning for the driver. */
  isDefault: "com.docker.network.bridge.default_bridge",
} as const;

/** Options of Docker that this driver cannot follow. */
const unsupported = [
  "com.docker.network.host_ipv4",
  "com.docker.network.host_ipv6",
  "com.docker.network.bridge.trusted_host_interfaces",
];

/**
 * How a network leads outside. "nat": with the host's address, and in through published ports. "nat-unprotected": in also through all other
 * ports. "routed": with its own addresses, and in through published ports at these addresses. "isolated": not at all; the host has no address in the network.
 */
export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

export interface BridgeOptions {
  readonly bridge: string;
  readonly openBetween: boolean;
  readonly masquerade: boolean;
  readonly bindAddress: string;
  /** 0 for the MTU of the default route. */
  readonly mtu: number;
  readonly gatewayModes: Readonly<Record<Family, GatewayMode>>;
  /** The bridge gets no IPv4 address. */
  readonly inhibitIpv4: boolean;
  readonly interfacePrefix: string;
}

/** The host's interface of a network. */
export function bridgeName(id: string, options: Readonly<Record<string, string>>): string {
  return options[bridgeOptions.name] || `br-${id.slice(0, 12)}`;
}

/** @throws invalid-argument in dockerd's words */
export function readBridgeOptions(id: string, options: Readonly<Record<string, string>>): BridgeOptions {
  const { isDefault, openBetween, masquerade, bindAddress, mtu, inhibitIpv4 } = bridgeOptions;
  const refused = unsupported.find((name) => name in options);
  if (refused !== undefined) throw new EngineError("not-implemented", `the option ${refused} is not supported yet`);
  boolean(options, isDefault, false);
  return {
    bridge: bridgeName(id, options),
    openBetween: boolean(options, openBetween, true),
    masquerade: boolean(options, masquerade, true),
    bindAddress: address(options, bindAddress) ?? "0.0.0.0",
    mtu: mtuOf(options, mtu),
    gatewayModes: {
      ipv4: gatewayMode(options, bridgeOptions.gatewayModeIpv4),
      ipv6: gatewayMode(options, bridgeOptions.gatewayModeIpv6),
    },
    inhibitIpv4: boolean(options, inhibitIpv4, false),
    interfacePrefix: prefixOfInterfaces(options[bridgeOptions.interfacePrefix]),
  };
}

function unreadable(name: string, value: string, reason: string): EngineError {
  return new EngineError("invalid-argument", `failed to parse ${name} value: ${value} (${reason})`);
}

function boolean(options: Readonly<Record<string, string>>, name: string, absent: boolean): boolean {
  const value = options[name];
  if (value === undefined) return absent;
  const parsed = parseBool(value);
  if (parsed === undefined)
    throw unreadable(name, value, `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
  return parsed;
}

function address(options: Readonly<Record<string, string>>, name: string): string | undefined {
  const value = options[name];
  if (value !== undefined && familyOf(value) === undefined) throw unreadable(name, value, "nil ip");
  return value;
}

function gatewayMode(options: Readonly<Record<string, string>>, name: string): GatewayMode {
  const value = options[name] ?? "nat";
  switch (value) {
    case "nat":
    case "nat-unprotected":
    case "isolated":
    case "routed":
      return value;
    default:
      throw unreadable(name, value, `unknown gateway mode ${value}`);
  }
}

function prefixOfInterfaces(value = "eth"): string {
  if (!isInterfacePrefix(value))
    throw new EngineError("invalid-argument", `invalid prefix of interface names: ${JSON.stringify(value)}`);
  return value;
}

/** The kernel's greatest MTU of a bridge. */
const greatestMtu = 65535;

function mtuOf(options: Readonly<Record<string, string>>, name: string): number {
  const value = options[name] ?? "0";
  if (!/^[+-]?\d+$/.test(value))
    throw unreadable(name, value, `strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
  const mtu = Number(value);
  if (mtu < 0 || mtu > greatestMtu) throw new EngineError("invalid-argument", `invalid MTU number: ${value}`);
  return mtu;
}
