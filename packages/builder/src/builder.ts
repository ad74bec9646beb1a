/** Opens the builder, and runs builds: the one door of this package. */
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { isEngineError, Semaphore } from "@fathom/base";
import type { LocalImage } from "@fathom/images";
import { hostPlatform, parseReference, withDefaultTag, type Digest, type Platform } from "@fathom/spec";
import { openContext } from "./context/context.ts";
import type { BuildEvent, Builder, BuilderParts, BuildRequest, EmitBuildEvent } from "./contract.ts";
import { DockerfileError } from "./dockerfile/dockerfile-error.ts";
import { parseDockerfile, type Dockerfile } from "./dockerfile/parse.ts";
import { expandWord } from "./dockerfile/words.ts";
import type { Build, StageResult } from "./solver/build-context.ts";
import { EventOrder } from "./solver/event-order.ts";
import { neededStages, targetStage } from "./solver/graph.ts";
import { imageOfStage } from "./solver/image-of-stage.ts";
import { runStage } from "./solver/stage-run.ts";
import { StepCache } from "./solver/step-cache.ts";
import { Arguments, isProxy, platformVariables } from "./solver/variables.ts";

/** Removes the snapshots that builds of an earlier start left. */
export async function openBuilder(parts: BuilderParts): Promise<Builder> {
  const { store, logger } = parts;
  const cache = new StepCache(store, parts.clock);
  for (const { key, owner } of store.snapshots.list()) if (owner === "build") await store.snapshots.remove(key);
  const running = new Semaphore(Math.max(2, navigator.hardwareConcurrency));
  const collect = (): Promise<unknown> =>
    store.collector.collect().catch((error: unknown) => logger.warn("collecting failed", { error }));
  return {
    async build(request, emit, signal) {
      const lease = store.leases.create("build");
      const temporary = join(parts.dataRoot, "tmp");
      mkdirSync(temporary, { recursive: true, mode: 0o700 });
      const directory = mkdtempSync(join(temporary, "build-"));
      let failed = true;
      try {
        const image = await buildImage({ parts, cache, running, lease, directory }, request, emit, signal);
        failed = false;
        return image;
      } finally {
        store.leases.release(lease);
        if (existsSync(directory)) store.discard(directory);
        if (failed) await collect();
      }
    },
    cache: () => cache.list(),
    async prune(wanted) {
      const removed = cache.list().filter(wanted);
      for (const { key } of removed) cache.remove(key);
      const { reclaimedBytes } = await store.collector.collect();
      return { keys: removed.map(({ key }) => key), reclaimedBytes };
    },
  };
}

type Shared = Pick<Build, "parts" | "cache" | "running" | "lease" | "directory">;

async function buildImage(
  shared: Shared,
  request: BuildRequest,
  emit: EmitBuildEvent,
  cancelled: AbortSignal,
): Promise<Digest> {
  const { parts, directory } = shared;
  const failure = new AbortController();
  const signal = AbortSignal.any([cancelled, failure.signal]);
  const reading = { sys: parts.sys, files: parts.files, signal };
  using context = await openContext(reading, join(directory, "context"), request);
  const file = parseDockerfile(context.dockerfile);
  const target = targetStage(file, request.target);
  const variables = platformVariables(hostPlatform(), request.platform);
  const usedArguments = new Set<string>();
  const globals = globalArguments(file, request, variables, usedArguments);
  const environment = new Map([...variables, ...globals.values]);
  const needed = neededStages(file, target, (stage) =>
    expandWord(file.stages[stage]!.from.image, { environment, escape: file.directives.escape }),
  );
  checkNames(file, needed, environment);
  const steps = numberSteps(file, needed);
  let number = 0;
  for (const { source } of file.globalArguments)
    await emit({ kind: "step", number: ++number, total: steps.total, text: source.original });
  const order = new EventOrder(needed, emit);
  const running = new Map<number, Promise<StageResult>>();
  const pulls = new Map<string, Promise<LocalImage>>();
  const build: Build = {
    ...shared,
    request,
    file,
    context,
    signal,
    globals,
    platformVariables: variables,
    usedArguments,
    stage: (index) => running.get(index)!,
    image: (name, platform, send) => {
      const key = JSON.stringify([name, platform]);
      const known = pulls.get(key) ?? findImage(shared, request, name, platform, send, signal);
      pulls.set(key, known);
      return known;
    },
    firstStep: (stage) => steps.first.get(stage)!,
    totalSteps: steps.total,
  };
  for (const index of needed) {
    const ran = runStage(build, index, file.stages[index]!, (event) => order.emit(index, event)).then(
      async (result) => {
        await order.end(index);
        return result;
      },
      async (error: unknown) => {
        // The events of this stage before the failure are shown; the other stages end.
        failure.abort(error);
        throw error;
      },
    );
    running.set(index, ran);
    ran.catch(() => undefined);
  }
  const results = await Promise.allSettled(running.values());
  if (failure.signal.aborted && !cancelled.aborted) throw failure.signal.reason;
  cancelled.throwIfAborted();
  for (const result of results) if (result.status === "rejected") throw result.reason;
  const stage = await running.get(target)!;
  const unused = [...request.arguments.keys()].filter((name) => !usedArguments.has(name) && !isProxy(name));
  if (unused.length > 0) await emit({ kind: "unused-arguments", names: unused });
  const image = await imageOfStage(build, stage);
  await emit({ kind: "built", image });
  for (const reference of request.names) {
    parts.images.tag(image, reference);
    await emit({ kind: "tagged", reference });
  }
  return image;
}

function globalArguments(
  file: Dockerfile,
  { arguments: given }: BuildRequest,
  variables: ReadonlyMap<string, string>,
  used: Set<string>,
): Arguments {
  const globals = new Arguments(given, variables, used);
  for (const instruction of file.globalArguments) globals.declare(instruction, variables, file.directives.escape);
  return globals;
}

/** Before anything is done: a name that cannot be an image's. @throws invalid-argument */
function checkNames(file: Dockerfile, needed: readonly number[], environment: ReadonlyMap<string, string>): void {
  for (const index of needed) {
    const { from } = file.stages[index]!;
    const name = expandWord(from.image, { environment, escape: file.directives.escape });
    if (name === "") throw new DockerfileError(`base name (${from.image}) should not be blank`, from.source.place);
    const isStage = file.stages.slice(0, index).some((stage) => stage.from.name === name.toLowerCase());
    if (!isStage && name !== "scratch") parseReference(name);
  }
}

function numberSteps(
  file: Dockerfile,
  needed: readonly number[],
): { readonly first: ReadonlyMap<number, number>; readonly total: number } {
  const first = new Map<number, number>();
  let next = file.globalArguments.length + 1;
  for (const index of needed) {
    first.set(index, next);
    next += 1 + file.stages[index]!.instructions.length;
  }
  return { first, total: next - 1 };
}

/** The lease holds its layers. */
async function findImage(
  { parts, lease }: Shared,
  { pull, credentials }: BuildRequest,
  name: string,
  platform: Platform | undefined,
  emit: (event: BuildEvent) => Promise<void>,
  signal: AbortSignal,
): Promise<LocalImage> {
  const stored = (): LocalImage | undefined => {
    try {
      return parts.images.lookup(name, platform);
    } catch (error) {
      if (isEngineError(error, "not-found")) return undefined;
      throw error;
    }
  };
  let image = pull ? undefined : stored();
  if (image === undefined) {
    const reference = withDefaultTag(parseReference(name));
    for await (const event of parts.images.pull({ reference, platform, credentials: credentials(reference) }, signal))
      await emit({ kind: "pull", event });
    image = parts.images.lookup(name, platform);
  }
  for (const chainId of parts.store.images.get(image.id)?.layers ?? []) parts.store.layers.hold(chainId, lease);
  return image;
}
