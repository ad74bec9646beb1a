/** Endpoints of a container's life. */
import { EngineError } from "@fathom/base";
import {
  decodeCommitConfig,
  decodeContainerCreate,
  decodeContainerUpdate,
  parsePlatform,
  type ContainerCreateResponse,
  type Platform,
} from "@fathom/spec";
import { adaptInspect, adaptSummary } from "../adapt/container.ts";
import { adaptCreate, adaptUpdate } from "../adapt/create.ts";
import type { ContainerBackend, WaitCondition } from "@fathom/engine";
import { optionalJson, requiredJson, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

const waitConditions: readonly WaitCondition[] = ["not-running", "next-exit", "removed"];

async function list(backend: ContainerBackend, { query, response, version }: ApiRequest): Promise<void> {
  const containers = await backend.list({
    all: query.boolean("all"),
    limit: query.integer("limit"),
    size: query.boolean("size"),
    filters: query.filters(),
  });
  response.json(200, version >= 52 ? containers : containers.map((container) => adaptSummary(container, version)));
}

async function create(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { query, response, version } = request;
  const { body, rules, warnings } = adaptCreate(decodeContainerCreate(await requiredJson(request)), version);
  const created = await backend.create(query.get("name"), platformOf(request), body, rules);
  const answer: ContainerCreateResponse = { Id: created.Id, Warnings: [...created.Warnings, ...warnings] };
  response.json(201, answer);
}

/** In the query of a create. @throws invalid-argument */
function platformOf({ query, version }: ApiRequest): Platform | undefined {
  const platform = version >= 41 ? query.get("platform") : undefined;
  return platform === undefined ? undefined : parsePlatform(platform);
}

/** POST /fathom/explain: Fathom's own endpoint, with the query and the body of a create. */
async function explain(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { body } = adaptCreate(decodeContainerCreate(await requiredJson(request)), request.version);
  request.response.json(200, await backend.explain(request.query.get("name"), platformOf(request), body));
}

async function inspect(backend: ContainerBackend, { name, query, response, version }: ApiRequest): Promise<void> {
  response.json(200, adaptInspect(await backend.inspect(name, query.boolean("size")), version));
}

async function start(backend: ContainerBackend, { exchange, name, query, response }: ApiRequest): Promise<void> {
  const length = Number(exchange.head.headers.get("content-length") ?? 0);
  if (length > 7 || exchange.body.framing === "chunked")
    throw new EngineError(
      "invalid-argument",
      "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
    );
  if (query.has("checkpoint"))
    throw new EngineError("not-implemented", "checkpoints are not implemented yet by Fathom");
  await backend.start(name, query.get("detachKeys"));
  response.empty(204);
}

function stopOptions({ query, version }: ApiRequest): {
  signal: string | undefined;
  timeoutSeconds: number | undefined;
} {
  return { signal: version >= 42 ? query.get("signal") : undefined, timeoutSeconds: query.integer("t") };
}

async function stop(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  await backend.stop(request.name, stopOptions(request));
  request.response.empty(204);
}

async function restart(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  await backend.restart(request.name, stopOptions(request));
  request.response.empty(204);
}

async function kill(backend: ContainerBackend, { name, query, response }: ApiRequest): Promise<void> {
  await backend.kill(name, query.get("signal"));
  response.empty(204);
}

async function wait(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, query, response } = request;
  const asked = query.get("condition") ?? "not-running";
  const condition = waitConditions.find((known) => known === asked);
  if (condition === undefined) throw new EngineError("invalid-argument", `invalid condition: ${JSON.stringify(asked)}`);
  const { result } = await backend.wait(name, condition, exchange.signal);
  // The head is sent now: clients start the container when they have it.
  response.start(200, "application/json");
  try {
    await response.write(`${JSON.stringify(await result)}\n`);
  } catch (error) {
    if (!exchange.signal.aborted) request.logger.warn("wait failed", { container: name, error });
    return response.abort();
  }
  response.end();
}

async function remove(backend: ContainerBackend, { name, query, response }: ApiRequest): Promise<void> {
  await backend.remove(name, {
    volumes: query.boolean("v"),
    force: query.boolean("force"),
    link: query.boolean("link"),
  });
  response.empty(204);
}

async function rename(backend: ContainerBackend, { name, query, response }: ApiRequest): Promise<void> {
  await backend.rename(name, query.get("name") ?? "");
  response.empty(204);
}

async function pause(backend: ContainerBackend, { name, response }: ApiRequest): Promise<void> {
  await backend.pause(name);
  response.empty(204);
}

async function unpause(backend: ContainerBackend, { name, response }: ApiRequest): Promise<void> {
  await backend.unpause(name);
  response.empty(204);
}

async function update(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { name, response } = request;
  const body = decodeContainerUpdate(await optionalJson(request));
  response.json(200, await backend.update(name, adaptUpdate(body, request.version)));
}

async function resize(backend: ContainerBackend, { name, query, response }: ApiRequest): Promise<void> {
  await backend.resize(name, query.cells("h"), query.cells("w"));
  response.empty(200);
}

async function top(backend: ContainerBackend, { name, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.top(name, query.get("ps_args") ?? ""));
}

async function changes(backend: ContainerBackend, { name, response }: ApiRequest): Promise<void> {
  const list = await backend.changes(name);
  response.json(200, list.length === 0 ? null : list);
}

async function prune(backend: ContainerBackend, { query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.prune(query.filters()));
}

async function commit(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { query, response, exchange } = request;
  const config = decodeCommitConfig(await optionalJson(request));
  const created = await backend.commit(
    {
      container: query.get("container") ?? "",
      repository: query.get("repo"),
      tag: query.get("tag"),
      comment: query.get("comment") ?? "",
      author: query.get("author") ?? "",
      pause: query.booleanOr("pause", true),
      changes: query.all("changes"),
      config,
    },
    exchange.signal,
  );
  response.json(201, created);
}

export function addContainerRoutes(router: Router<Handler>, containers: ContainerBackend): void {
  router.add("GET", "/containers/json", (request) => list(containers, request));
  router.add("POST", "/fathom/explain", (request) => explain(containers, request));
  router.add("POST", "/containers/create", (request) => create(containers, request));
  router.add("POST", "/containers/prune", (request) => prune(containers, request));
  router.add("GET", "/containers/*/json", (request) => inspect(containers, request));
  router.add("GET", "/containers/*/top", (request) => top(containers, request));
  router.add("GET", "/containers/*/changes", (request) => changes(containers, request));
  router.add("POST", "/containers/*/start", (request) => start(containers, request));
  router.add("POST", "/containers/*/stop", (request) => stop(containers, request));
  router.add("POST", "/containers/*/restart", (request) => restart(containers, request));
  router.add("POST", "/containers/*/kill", (request) => kill(containers, request));
  router.add("POST", "/containers/*/wait", (request) => wait(containers, request));
  router.add("POST", "/containers/*/rename", (request) => rename(containers, request));
  router.add("POST", "/containers/*/pause", (request) => pause(containers, request));
  router.add("POST", "/containers/*/unpause", (request) => unpause(containers, request));
  router.add("POST", "/containers/*/update", (request) => update(containers, request));
  router.add("POST", "/containers/*/resize", (request) => resize(containers, request));
  router.add("DELETE", "/containers/*", (request) => remove(containers, request));
  router.add("POST", "/commit", (request) => commit(containers, request));
}
