/** Endpoints of a container's life. */
import { EngineError } from "@fathom/base";
import { decodeCommitConfig, decodeContainerCreate, decodeContainerUpdate } from "@fathom/spec/docker/decode/container";
import type { ContainerCreateResponse, Platform } from "@fathom/spec";
import { adaptInspect, adaptSummary } from "../adapt/container.ts";
import { adaptCreate } from "../adapt/create.ts";
import type { WaitCondition } from "../contract.ts";
import { optionalJson, requiredJson, type ApiRequest, type Handler } from "../request.ts";
import type { Router } from "../router.ts";

const waitConditions: readonly WaitCondition[] = ["not-running", "next-exit", "removed"];

async function list({ backend, query, response, version }: ApiRequest): Promise<void> {
  const containers = await backend.containerList({
    all: query.boolean("all"),
    limit: query.integer("limit"),
    size: query.boolean("size"),
    filters: query.filters(),
  });
  response.json(200, version >= 52 ? containers : containers.map((container) => adaptSummary(container, version)));
}

/** "linux/amd64", "linux/arm/v7", "arm64" or "linux". @throws invalid-argument */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  const [first, second, variant] = parts;
  if (parts.length > 3 || parts.some((part) => !/^[A-Za-z0-9_.()-]+$/.test(part)))
    throw new EngineError(
      "invalid-argument",
      `${JSON.stringify(text)}: invalid platform: use os/architecture[/variant]`,
    );
  if (second === undefined) {
    const os = first === "linux" || first === "windows" ? first : "linux";
    return { os, architecture: os === first ? hostArchitecture : normalArchitecture(first ?? "") };
  }
  return {
    os: (first ?? "").toLowerCase(),
    architecture: normalArchitecture(second),
    ...(variant === undefined ? {} : { variant: variant.toLowerCase() }),
  };
}

const hostArchitecture = process.arch === "x64" ? "amd64" : process.arch;

function normalArchitecture(name: string): string {
  const lower = name.toLowerCase();
  if (lower === "x86_64" || lower === "x86-64") return "amd64";
  if (lower === "aarch64") return "arm64";
  return lower;
}

async function create(request: ApiRequest): Promise<void> {
  const { backend, query, response, version } = request;
  const { body, warnings } = adaptCreate(decodeContainerCreate(await requiredJson(request)), version);
  const platform = version >= 41 ? query.get("platform") : undefined;
  const created = await backend.containerCreate(
    query.get("name"),
    platform === undefined ? undefined : parsePlatform(platform),
    body,
  );
  const answer: ContainerCreateResponse = { Id: created.Id, Warnings: [...created.Warnings, ...warnings] };
  response.json(201, answer);
}

/** POST /fathom/explain: Fathom's own endpoint, with the body of a create. */
async function explain(request: ApiRequest): Promise<void> {
  const { body } = adaptCreate(decodeContainerCreate(await requiredJson(request)), request.version);
  request.response.json(200, await request.backend.explain(body));
}

async function inspect({ backend, name, query, response, version }: ApiRequest): Promise<void> {
  response.json(200, adaptInspect(await backend.containerInspect(name, query.boolean("size")), version));
}

async function start({ backend, exchange, name, query, response }: ApiRequest): Promise<void> {
  const length = Number(exchange.head.headers.get("content-length") ?? 0);
  if (length > 7 || exchange.body.framing === "chunked")
    throw new EngineError(
      "invalid-argument",
      "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
    );
  if (query.has("checkpoint"))
    throw new EngineError("not-implemented", "checkpoints are not implemented yet by Fathom");
  await backend.containerStart(name, query.get("detachKeys"));
  response.empty(204);
}

function stopOptions({ query, version }: ApiRequest): {
  signal: string | undefined;
  timeoutSeconds: number | undefined;
} {
  return { signal: version >= 42 ? query.get("signal") : undefined, timeoutSeconds: query.integer("t") };
}

async function stop(request: ApiRequest): Promise<void> {
  await request.backend.containerStop(request.name, stopOptions(request));
  request.response.empty(204);
}

async function restart(request: ApiRequest): Promise<void> {
  await request.backend.containerRestart(request.name, stopOptions(request));
  request.response.empty(204);
}

async function kill({ backend, name, query, response }: ApiRequest): Promise<void> {
  await backend.containerKill(name, query.get("signal"));
  response.empty(204);
}

async function wait(request: ApiRequest): Promise<void> {
  const { backend, exchange, name, query, response } = request;
  const asked = query.get("condition") ?? "not-running";
  const condition = waitConditions.find((known) => known === asked);
  if (condition === undefined) throw new EngineError("invalid-argument", `invalid condition: ${JSON.stringify(asked)}`);
  const { result } = await backend.containerWait(name, condition, exchange.signal);
  // The head goes out now: clients start the container when they have it.
  response.start(200, "application/json");
  try {
    await response.write(`${JSON.stringify(await result)}\n`);
  } catch (error) {
    if (!exchange.signal.aborted) request.logger.warn("wait failed", { container: name, error });
    return response.abort();
  }
  response.end();
}

async function remove({ backend, name, query, response }: ApiRequest): Promise<void> {
  await backend.containerRemove(name, {
    volumes: query.boolean("v"),
    force: query.boolean("force"),
    link: query.boolean("link"),
  });
  response.empty(204);
}

async function rename({ backend, name, query, response }: ApiRequest): Promise<void> {
  await backend.containerRename(name, query.get("name") ?? "");
  response.empty(204);
}

async function pause({ backend, name, response }: ApiRequest): Promise<void> {
  await backend.containerPause(name);
  response.empty(204);
}

async function unpause({ backend, name, response }: ApiRequest): Promise<void> {
  await backend.containerUnpause(name);
  response.empty(204);
}

async function update(request: ApiRequest): Promise<void> {
  const { backend, name, response } = request;
  response.json(200, await backend.containerUpdate(name, decodeContainerUpdate(await optionalJson(request))));
}

async function resize({ backend, name, query, response }: ApiRequest): Promise<void> {
  await backend.containerResize(name, query.cells("h"), query.cells("w"));
  response.empty(200);
}

async function top({ backend, name, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.containerTop(name, query.get("ps_args") ?? ""));
}

async function changes({ backend, name, response }: ApiRequest): Promise<void> {
  const list = await backend.containerChanges(name);
  response.json(200, list.length === 0 ? null : list);
}

async function prune({ backend, query, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.containerPrune(query.filters()));
}

async function commit(request: ApiRequest): Promise<void> {
  const { backend, query, response } = request;
  const config = decodeCommitConfig(await optionalJson(request));
  const created = await backend.commit({
    container: query.get("container") ?? "",
    repository: query.get("repo"),
    tag: query.get("tag"),
    comment: query.get("comment") ?? "",
    author: query.get("author") ?? "",
    pause: query.booleanOr("pause", true),
    changes: query.all("changes"),
    config,
  });
  response.json(201, created);
}

export function addContainerRoutes(router: Router<Handler>): void {
  router.add("GET", "/containers/json", list);
  router.add("POST", "/fathom/explain", explain);
  router.add("POST", "/containers/create", create);
  router.add("POST", "/containers/prune", prune);
  router.add("GET", "/containers/*/json", inspect);
  router.add("GET", "/containers/*/top", top);
  router.add("GET", "/containers/*/changes", changes);
  router.add("POST", "/containers/*/start", start);
  router.add("POST", "/containers/*/stop", stop);
  router.add("POST", "/containers/*/restart", restart);
  router.add("POST", "/containers/*/kill", kill);
  router.add("POST", "/containers/*/wait", wait);
  router.add("POST", "/containers/*/rename", rename);
  router.add("POST", "/containers/*/pause", pause);
  router.add("POST", "/containers/*/unpause", unpause);
  router.add("POST", "/containers/*/update", update);
  router.add("POST", "/containers/*/resize", resize);
  router.add("DELETE", "/containers/*", remove);
  router.add("POST", "/commit", commit);
}
