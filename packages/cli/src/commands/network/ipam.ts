/** The subnets of `network create`, with ranges, gateways and auxiliary addresses sorted to them, as docker does it. */
import { BlockList, isIP, isIPv6 } from "node:net";

export interface IpamFlags {
  readonly subnets: readonly string[];
  readonly ranges: readonly string[];
  readonly gateways: readonly string[];
  readonly auxiliary: Readonly<Record<string, string>>;
}

interface IpamConfig {
  readonly Subnet: string;
  readonly IPRange: string;
  readonly Gateway: string;
  readonly AuxiliaryAddresses: Readonly<Record<string, string>>;
}

/** @throws Error in docker's words */
export function ipamConfig({ subnets, ranges, gateways, auxiliary }: IpamFlags): IpamConfig[] {
  if (subnets.length < ranges.length || subnets.length < gateways.length)
    throw new Error("every ip-range or gateway must have a corresponding subnet");
  const configs = new Map<string, IpamConfig>();
  for (const subnet of subnets) {
    for (const other of configs.keys())
      if (matches(subnet, other) || matches(other, subnet))
        throw new Error("multiple overlapping subnet configuration is not supported");
    configs.set(subnet, { Subnet: subnet, IPRange: "", Gateway: "", AuxiliaryAddresses: {} });
  }
  const find = (text: string, what: string): IpamConfig => {
    const found = [...configs.values()].find(({ Subnet }) => matches(Subnet, text));
    if (found === undefined) throw new Error(`no matching subnet for ${what} ${text}`);
    return found;
  };
  for (const range of ranges) {
    const config = find(range, "range");
    if (config.IPRange !== "")
      throw new Error(
        `cannot configure multiple ranges (${range}, ${config.IPRange}) on the same subnet (${config.Subnet})`,
      );
    configs.set(config.Subnet, { ...config, IPRange: range });
  }
  for (const gateway of gateways) {
    const config = find(gateway, "gateway");
    if (config.Gateway !== "")
      throw new Error(
        `cannot configure multiple gateways (${gateway}, ${config.Gateway}) for the same subnet (${config.Subnet})`,
      );
    configs.set(config.Subnet, { ...config, Gateway: gateway });
  }
  for (const [name, address] of Object.entries(auxiliary)) {
    const config = find(address, "aux-address");
    const AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
    configs.set(config.Subnet, { ...config, AuxiliaryAddresses });
  }
  return [...configs.values()];
}

/** Whether the address, or the address of another subnet, is in the subnet. The daemon rejects a subnet that is none. */
function matches(subnet: string, text: string): boolean {
  const [base = "", bits = ""] = subnet.split("/");
  const address = text.split("/", 1)[0]!;
  const family = isIPv6(base) ? "ipv6" : "ipv4";
  const limit = family === "ipv6" ? 128 : 32;
  if (isIP(base) === 0 || isIP(address) === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > limit) return false;
  const list = new BlockList();
  list.addSubnet(base, Number(bits), family);
  return isIPv6(address) === (family === "ipv6") && list.check(address, family);
}
