/** Endpoints of volumes and, as far as there is only the default bridge, of networks. */
import type { Backend, NetworkBackend, VolumeBackend } from "@fathom/engine";
import { EngineError } from "@fathom/base";
import { decodeVolumeCreate } from "@fathom/spec";
import { optionalJson, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

async function list(backend: VolumeBackend, { query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.list(query.filters("error reading volume filters: ")));
}

async function inspect(backend: VolumeBackend, { name, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.inspect(name));
}

async function create(backend: VolumeBackend, request: ApiRequest): Promise<void> {
  const { response } = request;
  response.json(201, await backend.create(decodeVolumeCreate(await optionalJson(request))));
}

async function remove(backend: VolumeBackend, { name, query, response }: ApiRequest): Promise<void> {
  await backend.remove(name, query.boolean("force"));
  response.empty(204);
}

async function prune(backend: VolumeBackend, { query, response, version }: ApiRequest): Promise<void> {
  const filters = query.filters();
  // Before 1.42 prune took named volumes too.
  response.json(200, await backend.prune(version < 42 ? { ...filters, all: ["true"] } : filters));
}

async function networkList(backend: NetworkBackend, { query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.list(query.filters()));
}

async function networkInspect(backend: NetworkBackend, { name, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.inspect(name, { verbose: query.boolean("verbose"), scope: query.get("scope") }));
}

/** The error for an unknown network says so; the ones that exist cannot be removed, as long as users cannot make others. */
async function networkRemove(backend: NetworkBackend, { name }: ApiRequest): Promise<void> {
  const network = await backend.inspect(name, { verbose: false, scope: undefined });
  throw new EngineError("forbidden", `${network.Name} is a pre-defined network and cannot be removed`);
}

async function networkConnect(backend: Pick<Backend, "containers" | "networks">, request: ApiRequest): Promise<void> {
  const { name } = request;
  const body = await optionalJson(request);
  const container =
    typeof body === "object" && body !== null && "Container" in body && typeof body.Container === "string"
      ? body.Container
      : "";
  await backend.containers.inspect(container, false);
  await backend.networks.inspect(name, { verbose: false, scope: undefined });
  throw new EngineError(
    "not-implemented",
    "connecting a container to a network while it exists is not implemented yet by Fathom",
  );
}

export function addVolumeRoutes(router: Router<Handler>, backend: Backend): void {
  router.add("GET", "/volumes", (request) => list(backend.volumes, request));
  router.add("GET", "/volumes/*", (request) => inspect(backend.volumes, request));
  router.add("POST", "/volumes/create", (request) => create(backend.volumes, request));
  router.add("POST", "/volumes/prune", (request) => prune(backend.volumes, request));
  router.add("DELETE", "/volumes/*", (request) => remove(backend.volumes, request));
}

export function addNetworkRoutes(router: Router<Handler>, backend: Backend): void {
  router.add("GET", "/networks", (request) => networkList(backend.networks, request));
  router.add("GET", "/networks/", (request) => networkList(backend.networks, request));
  router.add("GET", "/networks/*", (request) => networkInspect(backend.networks, request));
  router.add("DELETE", "/networks/*", (request) => networkRemove(backend.networks, request));
  router.add("POST", "/networks/*/connect", (request) => networkConnect(backend, request));
  router.add("POST", "/networks/*/disconnect", (request) => networkConnect(backend, request));
}
