/** docker network create: Docker's checks, and the settings of the network. */
import { EngineError } from "@fathom/base";
import { parseAddress, parsePrefix, prefixContains, prefixesOverlap, formatPrefix } from "@fathom/network";
import type { Family, NetworkPoolSettings, NetworkSettings, Prefix } from "@fathom/network";
import { parseBool, type IpamPool, type NetworkCreateRequest } from "@fathom/spec";
import type { EngineContext } from "../context.ts";
import { isPredefined } from "./network-mode.ts";
import { publishNetwork } from "./network-events.ts";

export async function createNetwork(engine: EngineContext, body: NetworkCreateRequest): Promise<string> {
  const settings = settingsOf(engine, body);
  const network = await engine.networks.create(settings);
  publishNetwork(engine, "create", network);
  return network.id;
}

const defaultDriver = "bridge";

const familyOptions = { ipv4: "com.docker.network.enable_ipv4", ipv6: "com.docker.network.enable_ipv6" } as const;

/** @throws in Docker's words */
function settingsOf(engine: EngineContext, body: NetworkCreateRequest): NetworkSettings {
  const { Name: name, IPAM: ipam } = body;
  const driver = body.Driver === "" ? defaultDriver : body.Driver;
  if (isPredefined(name))
    throw new EngineError("forbidden", `operation is not permitted on predefined ${name} network`);
  if (driver === "overlay")
    throw new EngineError(
      "forbidden",
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    );
  const options = { ...body.Options };
  const enabled = {
    ipv4: isEnabled("ipv4", body.EnableIPv4, options, true),
    ipv6: isEnabled("ipv6", body.EnableIPv6, options, false),
  };
  const configs = ipam?.Config ?? [];
  checkIpam(configs, enabled.ipv6);
  if (name.trim() === "") throw new EngineError("invalid-argument", "invalid name: name is empty");
  refuseUnsupported(engine, body, driver);
  const families = (["ipv4", "ipv6"] as const).filter((family) => enabled[family]);
  if (families.length === 0) throw new EngineError("invalid-argument", "IPv4 or IPv6 must be enabled");
  return {
    name,
    driver,
    families,
    pools: configs.flatMap(poolOf),
    internal: body.Internal,
    options,
    labels: body.Labels ?? {},
    extension: {
      ...(body.Attachable ? { attachable: true } : {}),
      ...(ipam?.Options ? { ipamOptions: ipam.Options } : {}),
    },
  };
}

/** The field comes before the option of the driver. */
function isEnabled(
  family: Family,
  field: boolean | null,
  options: Record<string, string>,
  otherwise: boolean,
): boolean {
  const name = familyOptions[family];
  const option = options[name];
  delete options[name];
  if (field !== null) return field;
  if (option === undefined) return otherwise;
  const value = parseBool(option);
  if (value === undefined)
    throw new EngineError("invalid-argument", `driver-opt ${JSON.stringify(name)} is not a valid bool`);
  return value;
}

/** Parts of networks that no driver here has. */
function refuseUnsupported(engine: EngineContext, body: NetworkCreateRequest, driver: string): void {
  if (body.ConfigFrom !== null && body.ConfigFrom.Network !== "")
    throw new EngineError(
      "not-found",
      `configuration network ${JSON.stringify(body.ConfigFrom.Network)} does not exist`,
    );
  if (body.ConfigOnly) throw new EngineError("not-implemented", "configuration networks are not supported yet");
  if (body.Scope === "swarm")
    throw new EngineError("forbidden", "cannot create a swarm scoped network when swarm is not active");
  if (body.Ingress) throw new EngineError("forbidden", "Ingress network can only be global scope network");
  if (!engine.networks.drivers.includes(driver))
    throw new EngineError("not-found", `plugin ${JSON.stringify(driver)} not found`);
  if (driver === "host" || driver === "null")
    throw new EngineError("forbidden", `only one instance of ${JSON.stringify(driver)} network is allowed`);
  const ipam = body.IPAM?.Driver ?? "";
  if (ipam !== "" && ipam !== "default") throw new EngineError("not-found", `plugin ${JSON.stringify(ipam)} not found`);
}

function poolOf(config: IpamPool): NetworkPoolSettings[] {
  const {
    Subnet: subnet = "",
    IPRange: range = "",
    Gateway: gateway = "",
    AuxiliaryAddresses: auxiliary = {},
  } = config;
  const parsed = parsePrefix(subnet);
  if (parsed === undefined) return [];
  const reserved = Object.fromEntries(Object.entries(auxiliary).filter(([, address]) => address !== ""));
  return [
    {
      family: parsed.prefix.family,
      subnet,
      ...(gateway === "" ? {} : { gateway }),
      ...(range === "" ? {} : { range }),
      ...(Object.keys(reserved).length === 0 ? {} : { reserved }),
    },
  ];
}

const familyNumbers = { ipv4: "IPv4", ipv6: "IPv6" } as const;

/** All problems of the subnets. @throws invalid-argument */
function checkIpam(configs: readonly IpamPool[], ipv6: boolean): void {
  const problems = configs.flatMap((config) => poolProblems(config, ipv6));
  if (problems.length === 0) return;
  const list = problems.length === 1 ? problems : problems.map((problem) => `* ${problem}`);
  throw new EngineError("invalid-argument", `invalid network config:\n${list.join("\n")}`);
}

function poolProblems({ Subnet = "", IPRange, Gateway, AuxiliaryAddresses = {} }: IpamPool, ipv6: boolean): string[] {
  const parsed = parsePrefix(Subnet);
  if (parsed === undefined)
    return IPRange || Gateway || Object.keys(AuxiliaryAddresses).length > 0
      ? ["every ip-range or gateway must have a corresponding subnet"]
      : [];
  const { address, prefix: subnet } = parsed;
  if (subnet.family === "ipv6" && !ipv6) return [];
  const problems: string[] = [];
  if (address.value !== subnet.value) problems.push(`invalid subnet ${Subnet}: it should be ${formatPrefix(subnet)}`);
  problems.push(...rangeProblems(IPRange ?? "", Subnet, subnet));
  const gateway = addressProblem(Gateway ?? "", Subnet, subnet);
  if (gateway !== undefined) problems.push(`invalid gateway ${Gateway}: ${gateway}`);
  for (const [name, text] of Object.entries(AuxiliaryAddresses)) {
    const problem = addressProblem(text, Subnet, subnet);
    if (problem !== undefined) problems.push(`invalid auxiliary address ${name}: ${problem}`);
  }
  return problems;
}

function rangeProblems(text: string, subnetText: string, subnet: Prefix): string[] {
  const parsed = parsePrefix(text);
  if (parsed === undefined) return [];
  const { address, prefix: range } = parsed;
  const invalid = `invalid ip-range ${text}:`;
  if (range.family !== subnet.family) return [`${invalid} parent subnet is an ${familyNumbers[subnet.family]} block`];
  const problems: string[] = [];
  if (range.bits < subnet.bits) problems.push(`${invalid} CIDR block is bigger than its parent subnet ${subnetText}`);
  if (address.value !== range.value) problems.push(`${invalid} it should be ${formatPrefix(range)}`);
  if (!prefixesOverlap(subnet, range)) problems.push(`${invalid} parent subnet ${subnetText} doesn't contain ip-range`);
  return problems;
}

function addressProblem(text: string, subnetText: string, subnet: Prefix): string | undefined {
  const address = parseAddress(text);
  if (address === undefined) return undefined;
  if (address.family !== subnet.family) return `parent subnet is an ${familyNumbers[subnet.family]} block`;
  return prefixContains(subnet, address) ? undefined : `parent subnet ${subnetText} doesn't contain this address`;
}
