/** Endpoints of the daemon itself. */
import type { SystemBackend } from "@fathom/engine";
import { EngineError } from "@fathom/base";
import { decodeAuthConfig, diskUsageTypes } from "@fathom/spec";
import { adaptDiskUsage, adaptInfo, formatEvent } from "../adapt/system.ts";
import { requiredJson, streamLines, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

function ping({ response }: ApiRequest): void {
  response.header("Cache-Control", "no-cache, no-store, must-revalidate");
  response.header("Pragma", "no-cache");
  response.header("Swarm", "inactive");
  // The classic builder: the docker CLI uses it until there is another.
  response.header("Builder-Version", "1");
  response.send(200, "text/plain; charset=utf-8", "OK");
}

/** HEAD says a length of 0, as in Docker; clients read only the fields. */
function pingHead({ response }: ApiRequest): void {
  response.header("Cache-Control", "no-cache, no-store, must-revalidate");
  response.header("Pragma", "no-cache");
  response.header("Swarm", "inactive");
  response.header("Builder-Version", "1");
  response.send(200, "text/plain; charset=utf-8", "");
}

function version(backend: SystemBackend, { response }: ApiRequest): void {
  response.json(200, backend.version());
}

async function info(backend: SystemBackend, { response, version }: ApiRequest): Promise<void> {
  response.json(200, adaptInfo(await backend.info(), version));
}

async function events(backend: SystemBackend, request: ApiRequest): Promise<void> {
  const { exchange, query, version } = request;
  const since = query.timestamp("since", "'");
  const until = query.timestamp("until", "'");
  if (since !== undefined && until !== undefined && until < since)
    throw new EngineError(
      "invalid-argument",
      `\`since\` time (${query.get("since")}) cannot be after \`until\` time (${query.get("until")})`,
    );
  await streamLines(request, backend.events({ since, until, filters: query.filters() }, exchange.signal), {
    contentType: version >= 52 ? "application/jsonl" : "application/json",
    startAtOnce: true,
    format: (event) => formatEvent(event, version),
  });
}

async function diskUsage(backend: SystemBackend, { query, response, version }: ApiRequest): Promise<void> {
  const asked = version >= 42 && query.has("type") ? query.all("type") : diskUsageTypes;
  for (const type of asked)
    if (!diskUsageTypes.some((known) => known === type))
      throw new EngineError("invalid-argument", `unknown object type: ${type}`);
  response.json(200, adaptDiskUsage(await backend.diskUsage(asked), version, query.boolean("verbose")));
}

async function authenticate(backend: SystemBackend, request: ApiRequest): Promise<void> {
  const auth = decodeAuthConfig(await requiredJson(request));
  request.response.json(200, await backend.authenticate(auth, request.exchange.signal));
}

export function addSystemRoutes(router: Router<Handler>, system: SystemBackend): void {
  router.add("GET", "/_ping", ping);
  router.add("HEAD", "/_ping", pingHead);
  router.add("GET", "/version", (request) => version(system, request));
  router.add("GET", "/info", (request) => info(system, request));
  router.add("GET", "/events", (request) => events(system, request));
  router.add("GET", "/system/df", (request) => diskUsage(system, request));
  router.add("POST", "/auth", (request) => authenticate(system, request));
}
