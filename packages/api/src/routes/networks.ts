/** Endpoints of networks. */
import type { NetworkBackend } from "@fathom/engine";
import { decodeNetworkConnect, decodeNetworkCreate, decodeNetworkDisconnect } from "@fathom/spec";
import { requiredJson, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

async function list(backend: NetworkBackend, { query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.list(query.filters()));
}

async function inspect(backend: NetworkBackend, { name, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.inspect(name, { scope: query.get("scope") }));
}

async function create(backend: NetworkBackend, request: ApiRequest): Promise<void> {
  const { response, version } = request;
  const body = decodeNetworkCreate(await requiredJson(request));
  // Clients of earlier versions cannot turn IPv4 off.
  response.json(201, await backend.create(version < 48 ? { ...body, EnableIPv4: null } : body));
}

async function remove(backend: NetworkBackend, { name, response }: ApiRequest): Promise<void> {
  await backend.remove(name);
  response.empty(204);
}

async function prune(backend: NetworkBackend, { query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.prune(query.filters()));
}

async function connect(backend: NetworkBackend, request: ApiRequest): Promise<void> {
  const { name, response, version } = request;
  const body = decodeNetworkConnect(await requiredJson(request));
  const { EndpointConfig: config } = body;
  // Earlier versions ignore the MAC address here.
  const adapted = version < 54 && config !== null ? { ...body, EndpointConfig: { ...config, MacAddress: "" } } : body;
  await backend.connect(name, adapted);
  response.empty(200);
}

async function disconnect(backend: NetworkBackend, request: ApiRequest): Promise<void> {
  const { name, response } = request;
  await backend.disconnect(name, decodeNetworkDisconnect(await requiredJson(request)));
  response.empty(200);
}

export function addNetworkRoutes(router: Router<Handler>, networks: NetworkBackend): void {
  router.add("GET", "/networks", (request) => list(networks, request));
  router.add("GET", "/networks/", (request) => list(networks, request));
  router.add("GET", "/networks/*", (request) => inspect(networks, request));
  router.add("POST", "/networks/create", (request) => create(networks, request));
  router.add("POST", "/networks/prune", (request) => prune(networks, request));
  router.add("DELETE", "/networks/*", (request) => remove(networks, request));
  router.add("POST", "/networks/*/connect", (request) => connect(networks, request));
  router.add("POST", "/networks/*/disconnect", (request) => disconnect(networks, request));
}
