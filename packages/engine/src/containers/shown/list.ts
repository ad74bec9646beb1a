/** docker ps: which containers, in which order, and with which description. */
import { dockerOf } from "../docker-extension.ts";
import { EngineError, formatAge, parseRfc3339Nano, Turns } from "@fathom/base";
import { containerStatuses, type ContainerSummary, type Filters } from "@fathom/spec";
import { linkNames, type Container } from "@fathom/containers";
import { containerSizes, endpointSettings, portSummaries, shownMount } from "./view.ts";
import type { ContainerListRequest } from "../../backend.ts";
import type { EngineContext } from "../../context.ts";
import { checkFilterKeys, filterValues, matchesLabels } from "../../filters/filters.ts";
import { nameTest } from "../../filters/patterns.ts";

const filterKeys = [
  "ancestor",
  "before",
  "exited",
  "expose",
  "health",
  "id",
  "is-task",
  "isolation",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
];

type Test = (container: Container) => boolean;

export async function listContainers(
  engine: EngineContext,
  request: ContainerListRequest,
): Promise<ContainerSummary[]> {
  const tests = compileFilters(engine, request.filters);
  // A filter by state, or the last n, applies to containers in all states.
  const all = request.all || (request.limit ?? 0) > 0 || filterValues(request.filters, "status").length > 0;
  const found = newestFirst(engine.containers.list()).filter(
    (container) =>
      (all || container.process !== undefined || container.record.state.status === "restarting") &&
      tests.every((test) => test(container)),
  );
  const limit = request.limit ?? 0;
  const chosen = limit > 0 ? found.slice(0, limit) : found;
  return summariseAll(engine, chosen, request.size);
}

/**
 * In small turns, because there may be thousands of containers, and sizes are read from the disk. Containers that are removed meanwhile are
 * left out.
 */
export async function summariseAll(
  engine: EngineContext,
  containers: readonly Container[],
  size: boolean,
): Promise<ContainerSummary[]> {
  const summaries: ContainerSummary[] = [];
  const turns = new Turns();
  const links = linkNames(engine);
  const isThere = (container: Container): boolean => engine.containers.byId(container.id) === container;
  for (const container of containers) {
    await turns.after(0);
    if (!isThere(container)) continue;
    try {
      summaries.push(await summarise(engine, container, { size, links: links.get(container.id) ?? [] }));
    } catch (error) {
      if (isThere(container)) throw error;
    }
  }
  return summaries;
}

export function newestFirst(containers: readonly Container[]): Container[] {
  const time = new Map(containers.map((container) => [container, parseRfc3339Nano(container.record.createdAt) ?? 0n]));
  return [...containers].sort((a, b) => (time.get(a)! < time.get(b)! ? 1 : time.get(a)! > time.get(b)! ? -1 : 0));
}

function compileFilters(engine: EngineContext, filters: Filters): Test[] {
  checkFilterKeys(filters, filterKeys);
  const tests: Test[] = [];
  const any = (key: string, build: (value: string) => Test): void => {
    const options = filterValues(filters, key).map(build);
    if (options.length > 0) tests.push((container) => options.some((test) => test(container)));
  };
  any("status", (value) => {
    if (!containerStatuses.some((status) => status === value))
      throw new EngineError(
        "invalid-argument",
        `invalid filter 'status=${value}': invalid value for state (${value}): must be one of ${containerStatuses.join(", ")}`,
      );
    return (container) => container.status === value;
  });
  any("exited", (value) => {
    if (!/^-?\d+$/.test(value))
      throw new EngineError(
        "invalid-argument",
        `invalid filter 'exited=${value}': strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
      );
    return ({ record }) => record.state.status === "exited" && record.state.exitCode === Number(value);
  });
  any("id", (value) => (container) => container.id.startsWith(value));
  any("name", containerNameTest);
  any("health", (value) => {
    if (!["none", "starting", "healthy", "unhealthy"].includes(value))
      throw new EngineError(
        "invalid-argument",
        `invalid filter 'health=${value}': invalid value for health (${value}): must be one of none, starting, healthy, unhealthy`,
      );
    return (container) => (container.record.health?.status ?? "none") === value;
  });
  any("ancestor", (value) => ancestorTest(engine, value));
  any(
    "volume",
    (value) =>
      ({ record }) =>
        record.mounts.some((mount) => [mount.name, mount.destination, mount.source].includes(value)),
  );
  any("network", (value) => networkTest(engine, value));
  any("publish", (value) => portTest(value, true));
  any("expose", (value) => portTest(value, false));
  any("is-task", (value) => {
    if (!/^(0|1|t|f|true|false)$/i.test(value))
      throw new EngineError("invalid-argument", `invalid filter 'is-task=[${value}]'`);
    return () => /^(0|f|false)$/i.test(value);
  });
  const labels = filterValues(filters, "label");
  if (labels.length > 0)
    tests.push((container) => matchesLabels(dockerOf(container.record).config.Labels ?? {}, labels));
  const bound = (key: "before" | "since"): bigint | undefined => {
    const value = filterValues(filters, key)[0];
    return value === undefined ? undefined : parseRfc3339Nano(engine.containers.find(value).record.createdAt);
  };
  const before = bound("before");
  const since = bound("since");
  if (before !== undefined) tests.push(({ record }) => (parseRfc3339Nano(record.createdAt) ?? 0n) < before);
  if (since !== undefined) tests.push(({ record }) => (parseRfc3339Nano(record.createdAt) ?? 0n) > since);
  return tests;
}

/** The name matches with or without its slash. */
function containerNameTest(value: string): Test {
  const matches = nameTest(value);
  return ({ record: { name } }) => name === value || matches(name) || matches(`/${name}`);
}

/** Containers of the image, or of an image whose layers begin with all of its layers. */
function ancestorTest(engine: EngineContext, value: string): Test {
  let id: string;
  let top: string | undefined;
  try {
    const image = engine.images.lookup(value);
    id = image.id;
    top = image.topLayer;
  } catch {
    return () => false;
  }
  return ({ record }) => {
    if (record.imageId === id) return true;
    for (let chain = record.topLayer; chain !== undefined; chain = engine.store.layers.get(chain)?.parent)
      if (chain === top) return true;
    return false;
  };
}

function networkTest(engine: EngineContext, value: string): Test {
  const network = engine.networks.find(value);
  return ({ record }) =>
    record.networks.some(
      (attachment) =>
        attachment.network === value ||
        (network !== undefined && (attachment.network === network.name || attachment.networkId === network.id)),
    );
}

/** "80", "80/tcp", "8000-8010/udp". "publish" matches the host port or container port of a requested binding; "expose" matches the container port. */
function portTest(value: string, published: boolean): Test {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (!match)
    throw new EngineError(
      "invalid-argument",
      `error while looking up for ${published ? "publish" : "expose"} ${value}: invalid start port '${value.replace(/[-/].*$/, "")}': invalid syntax`,
    );
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  const protocol = match[3] ?? "tcp";
  const inRange = (port: number, kind: string): boolean => port >= first && port <= last && kind === protocol;
  return (container) => {
    const { record } = container;
    if (published)
      return portSummaries(container).some(
        (port) => port.PublicPort !== undefined && inRange(port.PublicPort, port.Type),
      );
    return Object.keys(dockerOf(record).config.ExposedPorts ?? {}).some((key) => {
      const [port, kind = "tcp"] = key.split("/");
      return inRange(Number(port), kind);
    });
  };
}

async function summarise(
  engine: EngineContext,
  container: Container,
  { size, links }: { readonly size: boolean; readonly links: readonly string[] },
): Promise<ContainerSummary> {
  const { record } = container;
  const running = container.process !== undefined;
  const docker = dockerOf(record);
  return {
    Id: record.id,
    Names: [`/${record.name}`, ...links].sort(),
    Image: imageName(engine, container),
    ImageID: record.imageId,
    Command: commandText(record.path, record.arguments),
    Created: Number((parseRfc3339Nano(record.createdAt) ?? 0n) / 1_000_000_000n),
    Ports: portSummaries(container),
    ...(size ? withoutZero(await containerSizes(engine, container)) : {}),
    Labels: docker.config.Labels ?? {},
    State: container.status,
    Status: statusText(engine, container),
    Health: { Status: record.health?.status ?? "none", FailingStreak: record.health?.failingStreak ?? 0 },
    HostConfig: {
      NetworkMode: docker.hostConfig.NetworkMode,
      ...(docker.hostConfig.Annotations ? { Annotations: docker.hostConfig.Annotations } : {}),
    },
    NetworkSettings: {
      Networks: Object.fromEntries(
        record.networks.map((network) => [network.network, endpointSettings(network, running)]),
      ),
    },
    Mounts: record.mounts.map(shownMount),
  };
}

/** Unlike inspect, a list leaves out fields that are 0. */
function withoutZero(sizes: { SizeRw: number; SizeRootFs: number }): Partial<typeof sizes> {
  return Object.fromEntries(Object.entries(sizes).filter(([, size]) => size !== 0));
}

/** The image name of the create request, as long as that name means the container's image for its platform; else the image's id. */
function imageName(engine: EngineContext, { record }: Container): string {
  const { Image: name } = dockerOf(record).config;
  try {
    if (engine.images.lookup(name).id === record.imageId) return name;
    // A name that holds several platforms means another image when no platform is requested.
    const own = record.imageId === "" ? undefined : engine.images.byId(record.imageId);
    if (own !== undefined && engine.images.lookup(name, own.config).id === record.imageId) return name;
  } catch {
    // The name was removed, or belongs to another image now.
  }
  return record.imageId;
}

/** As in Docker: the program as it is, and quotes around each argument that has a space. */
export function commandText(path: string, words: readonly string[]): string {
  return [path, ...words.map((word) => (word.includes(" ") ? `'${word}'` : word))].join(" ");
}

/** "Up 2 minutes (healthy)", "Exited (3) 4 seconds ago", "Created". */
function statusText(engine: EngineContext, container: Container): string {
  const { state, health } = container.record;
  const now = engine.clock.nowNs();
  const since = (time: string): string => formatAge(now - (parseRfc3339Nano(time) ?? now));
  switch (container.status) {
    case "running":
      if (health !== undefined)
        return `Up ${since(state.startedAt)} (${health.status === "starting" ? "health: starting" : health.status})`;
      return `Up ${since(state.startedAt)}`;
    case "paused":
      return `Up ${since(state.startedAt)} (Paused)`;
    case "restarting":
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    case "created":
      return "Created";
    case "exited":
      return `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
  }
}
