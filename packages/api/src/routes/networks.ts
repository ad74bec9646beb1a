/** Endpoints of networks. Only the networks that always exist are supported. */
import { EngineError } from "@fathom/base";
import type { ContainerBackend, NetworkBackend } from "@fathom/engine";
import { optionalJson, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

async function list(backend: NetworkBackend, { query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.list(query.filters()));
}

async function inspect(backend: NetworkBackend, { name, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.inspect(name, { scope: query.get("scope") }));
}

/** For an unknown network, the error says that. The existing ones cannot be removed, as long as users cannot make others. */
async function remove(backend: NetworkBackend, { name }: ApiRequest): Promise<void> {
  const network = await backend.inspect(name, { scope: undefined });
  throw new EngineError("forbidden", `${network.Name} is a pre-defined network and cannot be removed`);
}

async function connect(
  networks: NetworkBackend,
  containers: Pick<ContainerBackend, "inspect">,
  request: ApiRequest,
): Promise<void> {
  const { name } = request;
  const body = await optionalJson(request);
  const container =
    typeof body === "object" && body !== null && "Container" in body && typeof body.Container === "string"
      ? body.Container
      : "";
  await containers.inspect(container, false);
  await networks.inspect(name, { scope: undefined });
  throw new EngineError(
    "not-implemented",
    "connecting a container to a network while it exists is not implemented yet by Fathom",
  );
}

export function addNetworkRoutes(
  router: Router<Handler>,
  networks: NetworkBackend,
  containers: Pick<ContainerBackend, "inspect">,
): void {
  router.add("GET", "/networks", (request) => list(networks, request));
  router.add("GET", "/networks/", (request) => list(networks, request));
  router.add("GET", "/networks/*", (request) => inspect(networks, request));
  router.add("DELETE", "/networks/*", (request) => remove(networks, request));
  router.add("POST", "/networks/*/connect", (request) => connect(networks, containers, request));
  router.add("POST", "/networks/*/disconnect", (request) => connect(networks, containers, request));
}
