/** Endpoints of the classic builder. */
import type { BuildBackend, BuildImageRequest, RegistryAuth } from "@fathom/engine";
import { EngineError } from "@fathom/base";
import { decodeAuthConfig, isObject, parseJsonText, type ProgressMessage } from "@fathom/spec";
import { streamLines, type ApiRequest, type Handler } from "../request/request.ts";
import type { Query } from "../request/query.ts";
import type { Router } from "../request/router.ts";

const formatProgress = (message: ProgressMessage): string => `${JSON.stringify(message)}\r\n`;

async function build(backend: BuildBackend, request: ApiRequest): Promise<void> {
  const { exchange } = request;
  await streamLines(request, backend.build(buildRequest(request), exchange.signal), {
    contentType: "application/json",
    startAtOnce: false,
    format: formatProgress,
  });
}

/** @throws invalid-argument, in Docker's words where it has some */
function buildRequest({ query, exchange }: ApiRequest): BuildImageRequest {
  return {
    context: exchange.body,
    dockerfile: query.get("dockerfile") ?? "Dockerfile",
    names: query.all("t").filter((name) => name !== ""),
    target: query.get("target"),
    arguments: new Map(Object.entries(texts(query, "buildargs"))),
    labels: texts(query, "labels"),
    noCache: query.boolean("nocache"),
    pull: query.boolean("pull"),
    quiet: query.boolean("q"),
    remove: query.booleanOr("rm", true) || query.boolean("forcerm"),
    platform: query.get("platform"),
    hostConfig: hostConfig(query),
    registries: registries(exchange.head.headers.get("x-registry-config")),
    id: query.get("buildid"),
    remote: query.get("remote"),
    squash: query.boolean("squash"),
    version: query.get("version"),
  };
}

/** A JSON object of texts; null values are left out. */
function texts(query: Query, name: string): Record<string, string> {
  const given = query.get(name);
  if (given === undefined) return {};
  const document = parseJsonText(given);
  if (document === null) return {};
  if (!isObject(document)) throw new EngineError("invalid-argument", `error reading ${name}: it is no JSON object`);
  const entries: [string, string][] = [];
  for (const [key, value] of Object.entries(document)) {
    if (value === null) continue;
    if (typeof value !== "string")
      throw new EngineError("invalid-argument", `error reading ${name}: the value of ${key} is no string`);
    entries.push([key, value]);
  }
  return Object.fromEntries(entries);
}

/** Query parameters that limit the containers of RUN steps, by their names in HostConfig. */
const numbers = {
  memory: "Memory",
  memswap: "MemorySwap",
  cpushares: "CpuShares",
  cpuperiod: "CpuPeriod",
  cpuquota: "CpuQuota",
  shmsize: "ShmSize",
} as const;
const words = { cpusetcpus: "CpusetCpus", cpusetmems: "CpusetMems", cgroupparent: "CgroupParent" } as const;

function hostConfig(query: Query): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(numbers)) {
    const value = query.integer(name);
    if (value !== undefined && value !== 0) result[member] = value;
  }
  for (const [name, member] of Object.entries(words)) {
    const value = query.get(name);
    if (value !== undefined) result[member] = value;
  }
  const network = query.get("networkmode");
  if (network !== undefined && network !== "default") result["NetworkMode"] = network;
  const hosts = query
    .all("extrahosts")
    .flatMap((text) => (text.startsWith("[") ? listOfTexts(text, "extrahosts") : text.split(",")))
    .filter((text) => text !== "");
  if (hosts.length > 0) result["ExtraHosts"] = hosts;
  const security = query.get("securityopt");
  if (security !== undefined) result["SecurityOpt"] = listOfTexts(security, "securityopt");
  const ulimits = query.get("ulimits");
  if (ulimits !== undefined) result["Ulimits"] = parseJsonText(ulimits);
  return result;
}

function listOfTexts(text: string, name: string): string[] {
  const value = parseJsonText(text);
  if (value === null) return [];
  if (!Array.isArray(value) || !value.every((one) => typeof one === "string"))
    throw new EngineError("invalid-argument", `error reading ${name}: it is no list of strings`);
  return value;
}

/** As in Docker, a header that cannot be read counts as none. */
function registries(header: string | undefined): Record<string, RegistryAuth> {
  if (header === undefined || header === "") return {};
  try {
    const document: unknown = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
    if (!isObject(document)) return {};
    return Object.fromEntries(Object.entries(document).map(([name, auth]) => [name, decodeAuthConfig(auth)]));
  } catch {
    return {};
  }
}

async function cancel(backend: BuildBackend, { query, response }: ApiRequest): Promise<void> {
  const id = query.get("id");
  if (id === undefined) throw new EngineError("invalid-argument", "build ID not provided");
  await backend.cancel(id);
  response.empty(204);
}

async function prune(backend: BuildBackend, { query, response }: ApiRequest): Promise<void> {
  const keepBytes = query.integer("reserved-space") ?? query.integer("keep-storage") ?? 0;
  response.json(200, await backend.prune({ all: query.boolean("all"), filters: query.filters(), keepBytes }));
}

export function addBuildRoutes(router: Router<Handler>, builds: BuildBackend): void {
  router.add("POST", "/build", (request) => build(builds, request));
  router.add("POST", "/build/cancel", (request) => cancel(builds, request));
  router.add("POST", "/build/prune", (request) => prune(builds, request));
}
