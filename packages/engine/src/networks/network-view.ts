/** Networks as clients see them: list and inspect. */
import { EngineError } from "@fathom/base";
import type { Endpoint, Family, NetworkInfo } from "@fathom/network";
import type { Filters, NetworkContainer, NetworkInspect } from "@fathom/spec";
import type { EngineContext } from "../context.ts";
import { checkFilterKeys, filterValues, matchesLabels } from "../filters/filters.ts";
import { compilePattern } from "../filters/patterns.ts";

export function listNetworks(engine: EngineContext, filters: Filters): NetworkInspect[] {
  checkFilterKeys(filters, ["dangling", "driver", "id", "label", "name", "scope", "type"]);
  const test = networkFilter(engine, filters);
  return engine.networks
    .list()
    .filter(test)
    .map((network) => ({ ...shown(network), Containers: {} }));
}

/** The filters that list and prune share. @throws invalid-argument in Docker's words */
export function networkFilter(engine: EngineContext, filters: Filters): (network: NetworkInfo) => boolean {
  const values = (key: string): readonly string[] => filterValues(filters, key);
  const any = (key: string, test: (value: string) => boolean): boolean =>
    values(key).length === 0 || values(key).some(test);
  /** As Docker: the whole text, or a pattern that it contains. */
  const matching = (key: string): ((text: string) => boolean) => {
    const tests = values(key).map(patternOrText);
    return (text) => tests.length === 0 || tests.some((test) => test(text));
  };
  for (const type of values("type"))
    if (type !== "custom" && type !== "builtin")
      throw new EngineError("invalid-argument", `invalid filter: 'type'='${type}'`);
  const [nameMatches, idMatches] = [matching("name"), matching("id")];
  const dangling = danglingFilter(filters);
  return (network) =>
    any("driver", (value) => network.driver === value) &&
    idMatches(network.id) &&
    nameMatches(network.name) &&
    any("scope", (value) => value === "local") &&
    any("type", (value) => (value === "builtin") === network.builtin) &&
    (dangling === undefined || dangling === (!network.builtin && !isUsed(engine, network))) &&
    matchesLabels(network.labels, values("label"));
}

function patternOrText(value: string): (text: string) => boolean {
  const pattern = ((): ((text: string) => boolean) | undefined => {
    try {
      return compilePattern(value);
    } catch {
      return undefined;
    }
  })();
  return (text) => text === value || pattern?.(text) === true;
}

export function isUsed(engine: EngineContext, network: NetworkInfo): boolean {
  return engine.networks.endpoints(network.id).length > 0;
}

/** Differs from `booleanFilter`: only one value is allowed, and the error texts are others. @throws invalid-argument in Docker's words */
function danglingFilter(filters: Filters): boolean | undefined {
  const [value, ...more] = filterValues(filters, "dangling");
  if (value === undefined) return undefined;
  if (more.length > 0) throw new EngineError("invalid-argument", 'got more than one value for filter key "dangling"');
  if (value === "1" || value === "true") return true;
  if (value === "0" || value === "false") return false;
  throw new EngineError(
    "invalid-argument",
    `invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`,
  );
}

export function inspectNetwork(
  engine: EngineContext,
  name: string,
  { scope }: { readonly scope: string | undefined },
): NetworkInspect {
  const network = findNetworkOf(engine, name);
  if (scope !== undefined && scope !== "" && scope !== "local")
    throw new EngineError("not-found", `network ${name} not found`);
  return { ...shown(network), Containers: connected(engine, network) };
}

/** By id, name or unique id prefix. @throws not-found, invalid-argument for a prefix of several ids */
export function findNetworkOf(engine: Pick<EngineContext, "networks">, name: string): NetworkInfo {
  const network = engine.networks.find(name);
  if (network !== undefined) return network;
  const several = name === "" ? 0 : engine.networks.list().filter(({ id }) => id.startsWith(name)).length;
  if (several > 1)
    throw new EngineError(
      "invalid-argument",
      `${several} matches found based on ID prefix: network ${name} is ambiguous`,
    );
  throw new EngineError("not-found", `network ${name} not found`);
}

function shown(network: NetworkInfo): NetworkInspect {
  const { families, pools, extension } = network;
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt,
    Scope: "local",
    Driver: network.driver,
    EnableIPv4: families.includes("ipv4"),
    EnableIPv6: families.includes("ipv6"),
    IPAM: {
      Driver: "default",
      Options: extension.ipamOptions ?? null,
      Config:
        pools.length === 0
          ? null
          : pools.map(({ subnet, gateway, range, reserved }) => ({
              Subnet: subnet,
              ...(range === undefined ? {} : { IPRange: range }),
              Gateway: gateway,
              ...(reserved === undefined ? {} : { AuxiliaryAddresses: reserved }),
            })),
    },
    Internal: network.internal,
    Attachable: extension.attachable === true,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: {},
    Options: network.options,
    Labels: network.labels,
  };
}

function connected(engine: EngineContext, network: NetworkInfo): NetworkInspect["Containers"] {
  const nameOf = (containerId: string): string => engine.containers.byId(containerId)?.record.name ?? "";
  const endpoints = engine.networks.endpoints(network.id).map((endpoint): [string, NetworkContainer] => [
    endpoint.containerId,
    {
      Name: nameOf(endpoint.containerId),
      EndpointID: endpoint.endpointId,
      MacAddress: endpoint.macAddress,
      IPv4Address: addressOf(endpoint, "ipv4"),
      IPv6Address: addressOf(endpoint, "ipv6"),
    },
  ]);
  // In networks without interfaces (host, none) nothing but the row says which containers are there.
  const others = engine.containers.list().flatMap(({ record, process }): [string, NetworkContainer][] => {
    const isThere = record.networks.some(
      ({ networkId, endpoint }) => networkId === network.id && endpoint === undefined,
    );
    return process !== undefined && isThere && network.pools.length === 0
      ? [[record.id, { Name: record.name, EndpointID: "", MacAddress: "", IPv4Address: "", IPv6Address: "" }]]
      : [];
  });
  return Object.fromEntries([...endpoints, ...others]);
}

function addressOf({ addresses }: Endpoint, wanted: Family): string {
  const found = addresses.find(({ family }) => family === wanted);
  return found === undefined ? "" : `${found.address}/${found.prefixLength}`;
}
