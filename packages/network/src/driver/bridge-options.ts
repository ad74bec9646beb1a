/** The options of a bridge network, with Docker's names and Docker's checks. Pure functions. */
import { EngineError } from "@fathom/base";
import { parseBool } from "@fathom/spec";
import { familyOf } from "../ipam/ip.ts";

/** Docker's option names. */
export const bridgeOptions = {
  name: "com.docker.network.bridge.name",
  openBetween: "com.docker.network.bridge.enable_icc",
  masquerade: "com.docker.network.bridge.enable_ip_masquerade",
  bindAddress: "com.docker.network.bridge.host_binding_ipv4",
  mtu: "com.docker.network.driver.mtu",
  /** It has no meaning for the driver. */
  isDefault: "com.docker.network.bridge.default_bridge",
} as const;

export interface BridgeOptions {
  readonly bridge: string;
  readonly openBetween: boolean;
  readonly masquerade: boolean;
  readonly bindAddress: string;
  /** 0 for the MTU of the default route. */
  readonly mtu: number;
}

/** The host's interface of a network. */
export function bridgeName(id: string, options: Readonly<Record<string, string>>): string {
  return options[bridgeOptions.name] || `br-${id.slice(0, 12)}`;
}

/** @throws invalid-argument in dockerd's words */
export function readBridgeOptions(id: string, options: Readonly<Record<string, string>>): BridgeOptions {
  const { isDefault, openBetween, masquerade, bindAddress, mtu } = bridgeOptions;
  boolean(options, isDefault, false);
  return {
    bridge: bridgeName(id, options),
    openBetween: boolean(options, openBetween, true),
    masquerade: boolean(options, masquerade, true),
    bindAddress: address(options, bindAddress) ?? "0.0.0.0",
    mtu: mtuOf(options, mtu),
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
