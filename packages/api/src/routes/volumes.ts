/** Endpoints of volumes and, as far as there is only the default bridge, of networks. */
import { EngineError } from "@fathom/base";
import { decodeVolumeCreate } from "@fathom/spec/docker/decode/volume";
import { optionalJson, type ApiRequest, type Handler } from "../request.ts";
import type { Router } from "../router.ts";

async function list({ backend, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.volumeList(query.filters("error reading volume filters: ")));
}

async function inspect({ backend, name, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.volumeInspect(name));
}

async function create(request: ApiRequest): Promise<void> {
  const { backend, response } = request;
  response.json(201, await backend.volumeCreate(decodeVolumeCreate(await optionalJson(request))));
}

async function remove({ backend, name, query, response }: ApiRequest): Promise<void> {
  await backend.volumeRemove(name, query.boolean("force"));
  response.empty(204);
}

async function prune({ backend, query, response, version }: ApiRequest): Promise<void> {
  const filters = query.filters();
  // Before 1.42 prune took named volumes too.
  response.json(200, await backend.volumePrune(version < 42 ? { ...filters, all: ["true"] } : filters));
}

async function networkList({ backend, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.networkList(query.filters()));
}

async function networkInspect({ backend, name, query, response }: ApiRequest): Promise<void> {
  response.json(
    200,
    await backend.networkInspect(name, { verbose: query.boolean("verbose"), scope: query.get("scope") }),
  );
}

/** A network that is not there is told; the ones that are cannot be removed, as long as users cannot make others. */
async function networkRemove({ backend, name }: ApiRequest): Promise<void> {
  const network = await backend.networkInspect(name, { verbose: false, scope: undefined });
  throw new EngineError("forbidden", `${network.Name} is a pre-defined network and cannot be removed`);
}

async function networkConnect(request: ApiRequest): Promise<void> {
  const { backend, name } = request;
  const body = await optionalJson(request);
  const container =
    typeof body === "object" && body !== null && "Container" in body && typeof body.Container === "string"
      ? body.Container
      : "";
  await backend.containerInspect(container, false);
  await backend.networkInspect(name, { verbose: false, scope: undefined });
  throw new EngineError(
    "not-implemented",
    "connecting a container to a network while it exists is not implemented yet by Fathom",
  );
}

export function addVolumeRoutes(router: Router<Handler>): void {
  router.add("GET", "/volumes", list);
  router.add("GET", "/volumes/*", inspect);
  router.add("POST", "/volumes/create", create);
  router.add("POST", "/volumes/prune", prune);
  router.add("DELETE", "/volumes/*", remove);
}

export function addNetworkRoutes(router: Router<Handler>): void {
  router.add("GET", "/networks", networkList);
  router.add("GET", "/networks/", networkList);
  router.add("GET", "/networks/*", networkInspect);
  router.add("DELETE", "/networks/*", networkRemove);
  router.add("POST", "/networks/*/connect", networkConnect);
  router.add("POST", "/networks/*/disconnect", networkConnect);
}
