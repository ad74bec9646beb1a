/** Rows of networks in the engine's database, and networks as clients see them. */
import {
  readNetwork,
  type Endpoint,
  type Family,
  type NetworkInfo,
  type NetworkManager,
  type NetworkState,
} from "@fathom/network";
import type { Filters, NetworkInspect } from "@fathom/spec";
import { EngineError } from "@fathom/base";
import type { Database } from "@fathom/store";
import type { EngineContext } from "../context.ts";
import { checkFilterKeys, filterValues, matchesLabels } from "../filters/filters.ts";

export function createNetworkState(database: Database): NetworkState {
  database.migrate("networks", [
    { version: 1, up: [`CREATE TABLE network_rows (id TEXT PRIMARY KEY, data TEXT NOT NULL) STRICT, WITHOUT ROWID`] },
    // From version 2 on a row has `pools`, `builtin` and `internal`. Rows of version 1 are still read.
    { version: 2, up: [] },
  ]);
  const parse = (row: Record<string, unknown>): NetworkInfo => {
    const what = `network ${String(row["id"])}`;
    return readNetwork(database.readObject(what, row["data"], ["id", "name", "driver"]), what);
  };
  return {
    networks: () => database.all("SELECT id, data FROM network_rows").map(parse),
    saveNetwork: (network) =>
      void database.run(
        "INSERT INTO network_rows (id, data) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        network.id,
        JSON.stringify(network),
      ),
    removeNetwork: (id) => void database.run("DELETE FROM network_rows WHERE id = ?", id),
  };
}

export function listNetworks(engine: EngineContext, filters: Filters): NetworkInspect[] {
  checkFilterKeys(filters, ["dangling", "driver", "id", "label", "name", "scope", "type"]);
  const any = (key: string, test: (value: string) => boolean): boolean => {
    const values = filterValues(filters, key);
    return values.length === 0 || values.some(test);
  };
  for (const type of filterValues(filters, "type"))
    if (type !== "custom" && type !== "builtin")
      throw new EngineError("invalid-argument", `invalid filter: 'type=${type}'`);
  const dangling = danglingFilter(filters);
  return engine.networks
    .list()
    .filter(
      (network) =>
        any("driver", (value) => network.driver === value) &&
        any("id", (value) => network.id.startsWith(value)) &&
        any("name", (value) => network.name.includes(value)) &&
        any("scope", (value) => value === "local") &&
        any("type", (value) => (value === "builtin") === network.builtin) &&
        (dangling === undefined ||
          dangling === (engine.networks.endpoints(network.id).length === 0 && !network.builtin)) &&
        matchesLabels(network.labels, filterValues(filters, "label")),
    )
    .map((network) => ({ ...inspect(engine, network), Containers: {} }));
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
  options: { scope: string | undefined },
): NetworkInspect {
  const network = engine.networks.find(name);
  if (network === undefined || (options.scope !== undefined && options.scope !== "" && options.scope !== "local"))
    throw new EngineError("not-found", `network ${name} not found`);
  return inspect(engine, network);
}

function inspect(engine: EngineContext, network: NetworkInfo): NetworkInspect {
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt,
    Scope: "local",
    Driver: network.driver,
    EnableIPv4: true,
    EnableIPv6: network.pools.some(({ family }) => family === "ipv6"),
    IPAM: {
      Driver: "default",
      Options: null,
      Config:
        network.pools.length === 0
          ? null
          : network.pools.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway })),
    },
    Internal: network.internal,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: connected(engine, engine.networks, network),
    Options: network.options,
    Labels: network.labels,
  };
}

function connected(
  engine: EngineContext,
  networks: NetworkManager,
  network: NetworkInfo,
): NetworkInspect["Containers"] {
  return Object.fromEntries(
    networks.endpoints(network.id).map((endpoint) => [
      endpoint.containerId,
      {
        Name: engine.containers.byId(endpoint.containerId)?.record.name ?? "",
        EndpointID: endpoint.endpointId,
        MacAddress: endpoint.macAddress,
        IPv4Address: addressOf(endpoint, "ipv4"),
        IPv6Address: addressOf(endpoint, "ipv6"),
      },
    ]),
  );
}

function addressOf({ addresses }: Endpoint, wanted: Family): string {
  const found = addresses.find(({ family }) => family === wanted);
  return found === undefined ? "" : `${found.address}/${found.prefixLength}`;
}
