/** Docker's rules for a user's settings of an endpoint. Pure functions. */
import { EngineError } from "@fathom/base";
import type { EndpointSettings, NetworkInfo } from "../contract.ts";
import { contains, parseCidr, parseIpv4, parseMac } from "../ipam/ip.ts";

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

/**
 * Checked when a container is created; connect checks them too.
 * @throws invalid-argument in dockerd's words.
 */
export function checkEndpointSettings(network: NetworkInfo, settings: EndpointSettings): void {
  const { ipv4Address, macAddress } = settings;
  if (macAddress !== undefined) checkMacAddress(macAddress);
  if (ipv4Address === undefined || ipv4Address === "") return;
  const address = parseIpv4(ipv4Address);
  if (address === undefined) throw new EngineError("invalid-argument", `invalid IPv4 address: ${ipv4Address}`);
  const problems = network.builtin ? ["user-specified IP address is supported on user-defined networks only"] : [];
  const subnets = network.pools.flatMap(({ subnet }) => parseCidr(subnet)?.subnet ?? []);
  if (!subnets.some((subnet) => contains(subnet, address)))
    problems.push(`no configured subnet contains IP address ${ipv4Address}`);
  if (problems.length === 0) return;
  const list = problems.length === 1 ? problems : problems.map((problem) => `* ${problem}`);
  throw new EngineError(
    "invalid-argument",
    `invalid config for network ${network.name}: invalid endpoint settings:\n${list.join("\n")}`,
  );
}
