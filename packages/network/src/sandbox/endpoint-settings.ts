/** Docker's rules for a user's settings of an endpoint. Pure functions. */
import { EngineError } from "@fathom/base";
import type { EndpointSettings, Family, NetworkInfo } from "../contract.ts";
import { isInterfaceName } from "../driver/interface-name.ts";
import { parseMac } from "../ipam/ip.ts";
import { parseAddress, parsePrefix, prefixContains } from "../ipam/prefix.ts";
import { families } from "./gateway.ts";

/** @throws invalid-argument for text that is no MAC address, or one that an interface may not have */
export function checkMacAddress(text: string): void {
  const mac = parseMac(text);
  if (mac === undefined) throw new EngineError("invalid-argument", `${text} is not a valid mac address`);
  if ((mac[0]! & 1) === 1)
    throw new EngineError(
      "invalid-argument",
      `${text} is a multicast mac address: an interface needs one of its own, whose first byte is even`,
    );
}

type CheckedSettings = Pick<
  EndpointSettings,
  "ipv4Address" | "ipv6Address" | "linkLocalAddresses" | "sysctls" | "interfaceName"
>;

const words = { ipv4: "IPv4", ipv6: "IPv6" } as const;

/**
 * What is wrong with the settings, in dockerd's words; undefined when nothing is.
 * @param network undefined: somebody makes it later
 */
export function endpointProblems(
  network: Pick<NetworkInfo, "builtin" | "pools"> | undefined,
  settings: CheckedSettings & { readonly aliases?: readonly string[] | undefined },
): string | undefined {
  const { aliases = [], linkLocalAddresses = [], sysctls = [], interfaceName } = settings;
  const wanted = { ipv4: settings.ipv4Address || undefined, ipv6: settings.ipv6Address || undefined };
  const problems: string[] = [];
  if (network?.builtin === true) {
    if (wanted.ipv4 !== undefined || wanted.ipv6 !== undefined)
      problems.push("user-specified IP address is supported on user-defined networks only");
    if (aliases.length > 0) problems.push("network-scoped aliases are only supported for user-defined networks");
  }
  for (const family of families) {
    const text = wanted[family];
    if (text !== undefined && !isUsable(text, family)) problems.push(`invalid ${words[family]} address: ${text}`);
  }
  for (const text of linkLocalAddresses)
    if (!families.some((family) => isUsable(text, family))) problems.push(`invalid link-local IP address: ${text}`);
  for (const family of families) {
    const address = parseAddress(wanted[family] ?? "");
    if (address === undefined || network === undefined) continue;
    const subnets = network.pools.flatMap(({ subnet }) => parsePrefix(subnet)?.prefix ?? []);
    if (!subnets.some((subnet) => prefixContains(subnet, address)))
      problems.push(`no configured subnet contains IP address ${wanted[family]}`);
  }
  for (const sysctl of sysctls) {
    const [root, kind, , name, ...rest] = sysctl.split(".");
    if (
      root !== "net" ||
      rest.length === 0 ||
      !["ipv4", "ipv6", "mpls"].includes(kind!) ||
      !["IFNAME", "ifname"].includes(name!)
    )
      problems.push(
        `unrecognised network interface sysctl '${sysctl}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'`,
      );
    else if (sysctl.split("=", 1)[0]!.includes("/")) problems.push(`unrecognised network interface sysctl '${sysctl}'`);
  }
  if (interfaceName !== undefined && !isInterfaceName(interfaceName))
    problems.push(`invalid interface name: ${JSON.stringify(interfaceName)}`);
  if (problems.length === 0) return undefined;
  return problems.length === 1 ? problems[0] : problems.map((problem) => `* ${problem}`).join("\n");
}

function isUsable(text: string, family: Family): boolean {
  const address = parseAddress(text);
  return address !== undefined && address.family === family && address.value !== 0n;
}

/** As `connect` checks them. @throws invalid-argument in dockerd's words */
export function checkEndpointSettings(network: NetworkInfo, settings: EndpointSettings): void {
  const { macAddress } = settings;
  if (macAddress !== undefined) checkMacAddress(macAddress);
  const problems = endpointProblems(network, settings);
  if (problems === undefined) return;
  throw new EngineError(
    "invalid-argument",
    `invalid config for network ${network.name}: invalid endpoint settings:\n${problems}`,
  );
}

/** Options of an endpoint that have a meaning for its interface, with Docker's names. Others are for the driver. */
export const endpointOptions = {
  interfaceName: "com.docker.network.endpoint.ifname",
  /** Several are separated by commas. */
  sysctls: "com.docker.network.endpoint.sysctls",
} as const;

export function settingsOfOptions(
  options: Readonly<Record<string, string>> | null,
): Pick<EndpointSettings, "interfaceName" | "sysctls"> {
  const { [endpointOptions.interfaceName]: interfaceName, [endpointOptions.sysctls]: sysctls } = options ?? {};
  return {
    ...(interfaceName ? { interfaceName } : {}),
    ...(sysctls ? { sysctls: sysctls.split(",") } : {}),
  };
}
