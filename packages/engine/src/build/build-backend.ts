/** `docker build` without BuildKit: Docker's request as the builder expects it, and its events as Docker's lines. */
import { EngineError, formatRfc3339Nano, parseUnixTime } from "@fathom/base";
import type { BuildEvent, Builder, CacheEntry } from "@fathom/builder";
import type { Credentials } from "@fathom/distribution";
import {
  parsePlatform,
  parseReference,
  withDefaultTag,
  type BuildPruneReport,
  type Filters,
  type ProgressMessage,
  type Reference,
  type RegistryAuth,
} from "@fathom/spec";
import type { BuildBackend, BuildImageRequest } from "../backend.ts";
import type { EngineContext } from "../context.ts";
import { credentialsOf } from "../images/image-backend.ts";
import { BuildLines, failureLine } from "./build-lines.ts";

export function createBuildBackend(engine: EngineContext, builder: Builder): BuildBackend {
  const running = new Map<string, AbortController>();
  return {
    build: (request, signal) => buildLines(engine, builder, running, request, signal),
    cancel: async (id) => running.get(id)?.abort(new EngineError("aborted", "the build was cancelled")),
    prune: (request) => prune(engine, builder, request),
  };
}

/** @throws invalid-argument for a bad name, before the context is read */
async function* buildLines(
  engine: EngineContext,
  builder: Builder,
  running: Map<string, AbortController>,
  request: BuildImageRequest,
  client: AbortSignal,
): AsyncGenerator<ProgressMessage> {
  refuse(request);
  const names = request.names.map((name) => withDefaultTag(parseReference(name)));
  for (const { digest } of names)
    if (digest !== undefined) throw new EngineError("invalid-argument", "refusing to create a tag with a digest reference");
  const platform = request.platform === undefined ? undefined : parsePlatform(request.platform);
  const cancel = new AbortController();
  const signal = AbortSignal.any([client, cancel.signal, engine.shuttingDown]);
  if (request.id !== undefined) running.set(request.id, cancel);
  const lines = new BuildLines({ quiet: request.quiet, showRemoved: request.remove });
  const queue = new EventHandover();
  const work = builder
    .build(
      {
        context: request.context,
        dockerfile: request.dockerfile,
        target: request.target,
        arguments: request.arguments,
        labels: request.labels,
        noCache: request.noCache,
        pull: request.pull,
        platform,
        names,
        credentials: (reference) => credentialsFor(request.registries, reference),
        settings: request.hostConfig,
      },
      (event) => queue.put(event),
      signal,
    )
    .finally(() => queue.end());
  work.catch(() => undefined);
  try {
    for await (const event of queue.events()) yield* lines.of(event);
    await work;
  } catch (error) {
    const line = failureLine(error);
    if (line === undefined) throw error;
    yield line;
  } finally {
    cancel.abort(new EngineError("aborted", "the client does not read the build any more"));
    queue.close();
    await work.catch(() => undefined);
    if (request.id !== undefined && running.get(request.id) === cancel) running.delete(request.id);
  }
}

function refuse(request: BuildImageRequest): void {
  if (request.remote !== undefined)
    throw new EngineError("not-implemented", `a build from ${request.remote} is not implemented yet by Fathom: send the context itself`);
  if (request.squash) throw new EngineError("not-implemented", "squash is not implemented yet by Fathom");
  if (request.version === "2")
    throw new EngineError("not-implemented", "builds with BuildKit's protocol are not implemented yet by Fathom: set DOCKER_BUILDKIT=0");
}

function credentialsFor(
  registries: Readonly<Record<string, RegistryAuth>>,
  { registry }: Reference,
): Credentials | undefined {
  const hub = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];
  const names = registry === "docker.io" ? hub : [registry, `https://${registry}`, `http://${registry}`];
  const found = names.find((name) => Object.hasOwn(registries, name));
  return found === undefined ? undefined : credentialsOf(registries[found]!);
}

/** One event after another: the build waits until the client has taken it. */
class EventHandover {
  #waiting: { readonly event: BuildEvent; readonly taken: () => void }[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  put(event: BuildEvent): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((taken) => {
      this.#waiting.push({ event, taken });
      this.#wake?.();
    });
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Nobody reads any more. */
  close(): void {
    this.end();
    for (const { taken } of this.#waiting.splice(0)) taken();
  }

  async *events(): AsyncGenerator<BuildEvent> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        yield next.event;
        next.taken();
      } else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

async function prune(
  engine: EngineContext,
  builder: Builder,
  { all, filters, keepBytes }: { readonly all: boolean; readonly filters: Filters; readonly keepBytes: number },
): Promise<BuildPruneReport> {
  const before = filters["until"]?.map((text) => usedBefore(engine, text)) ?? [];
  for (const name of Object.keys(filters))
    if (!["until", "id", "label", "label!"].includes(name)) throw new EngineError("invalid-argument", `invalid filter '${name}'`);
  // No entry has labels: none has the one that is asked for, and each lacks those that are excluded.
  const wanted = ({ key, usedAt }: CacheEntry): boolean =>
    (filters["label"] ?? []).length === 0 &&
    before.every((time) => usedAt < time) && (filters["id"]?.some((id) => shownKey(key).startsWith(id)) ?? true);
  // Every entry may be used by the next build; as in Docker, `all` only matters for entries that are shared, and there are none.
  void all;
  let kept = 0;
  const newestFirst = builder.cache().toSorted((a, b) => (a.usedAt < b.usedAt ? 1 : -1));
  const keep = new Set(keepBytes === 0 ? [] : newestFirst.filter(({ size }) => (kept += size) <= keepBytes).map(({ key }) => key));
  const { keys, reclaimedBytes } = await builder.prune((entry) => !keep.has(entry.key) && wanted(entry));
  return { CachesDeleted: keys.length === 0 ? null : keys.map(shownKey), SpaceReclaimed: reclaimedBytes };
}

export function shownKey(key: string): string {
  return key.slice("sha256:".length, "sha256:".length + 25);
}

/** A duration, or a time. */
function usedBefore({ clock }: EngineContext, text: string): string {
  const [, count, unit] = /^(\d+)(s|m|h)$/.exec(text) ?? [];
  if (count !== undefined) {
    const seconds = BigInt(count) * { s: 1n, m: 60n, h: 3600n }[unit === "h" ? "h" : unit === "m" ? "m" : "s"];
    return formatRfc3339Nano(clock.nowNs() - seconds * 1_000_000_000n);
  }
  const time = parseUnixTime(text);
  if ("problem" in time) throw new EngineError("invalid-argument", `invalid filter 'until=${text}'`);
  return formatRfc3339Nano(time.ns);
}
