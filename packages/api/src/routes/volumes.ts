/** Endpoints of volumes. */
import type { VolumeBackend } from "@fathom/engine";
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
  // Before 1.42 prune also removed named volumes.
  response.json(200, await backend.prune(version < 42 ? { ...filters, all: ["true"] } : filters));
}

export function addVolumeRoutes(router: Router<Handler>, volumes: VolumeBackend): void {
  router.add("GET", "/volumes", (request) => list(volumes, request));
  router.add("GET", "/volumes/*", (request) => inspect(volumes, request));
  router.add("POST", "/volumes/create", (request) => create(volumes, request));
  router.add("POST", "/volumes/prune", (request) => prune(volumes, request));
  router.add("DELETE", "/volumes/*", (request) => remove(volumes, request));
}
