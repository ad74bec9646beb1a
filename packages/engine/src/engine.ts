/** Connects the engine: containers, images, volumes, networks, and the daemon's life around them. */
import { dockerOf, eventAttributes, recordOwner } from "./containers/docker-extension.ts";
import { join } from "node:path";
import { EngineError, randomId } from "@fathom/base";
import type { Builder, BuilderParts } from "@fathom/builder";
import { createBuildBackend } from "./build/build-backend.ts";
import { createStepRunner, removeBuildSteps } from "./build/step-runner.ts";
import { checkSignal } from "./commit/changes.ts";
import type { Database } from "@fathom/store";
import { inStep, openContainers, type Containers, type ContainersParts, type ContainerTable } from "@fathom/containers";
import type { ContainerUses, EngineConfig, EngineParts, ImagePart, OciTranslation, VolumePart } from "./contract.ts";
import type { EngineContext } from "./context.ts";
import { checkDatabaseNowAndThen } from "./system/database-check.ts";
import type { Backend } from "./backend.ts";
import { createContainerBackend } from "./containers/container-backend.ts";
import { createExecBackend } from "./containers/exec-backend.ts";
import { createNetworkBackend } from "./networks/network-backend.ts";
import { createSystemBackend } from "./system/system-backend.ts";
import { EventFile } from "./system/event-file.ts";
import { Events } from "./system/events.ts";
import { logDestination } from "./containers/logging/destination.ts";
import { compressesLog, logTarget, readableLog } from "./containers/logging/log-config.ts";
import { wantsStartReport } from "./containers/start-report.ts";
import { volumesInUse } from "./system/disk-usage.ts";
import { execWords, exitCodeAfterStart, exitCodeOfExec, startWords } from "./words/launch-words.ts";
import { withDockersWords } from "./words/refusal-words.ts";

export interface EngineOptions extends ContainersParts {
  readonly config: EngineConfig;
  readonly images: (parts: EngineParts) => ImagePart;
  readonly volumes: (parts: EngineParts) => VolumePart;
  readonly oci: OciTranslation;
  /** Called after `images`. */
  readonly builder: (parts: Omit<BuilderParts, "images">) => Promise<Builder>;
}

export interface EngineLife extends AsyncDisposable {
  /** Call it after requests are served: restart policies resume, stems are made. A shutdown ends it early. */
  resume(): Promise<void>;
  /**
   * The graceful end. Without live restore, containers are stopped, each with its own timeout, all within the shutdown timeout. With live
   * restore, or when `leaveContainers` is true, they keep running. Afterwards nothing of this engine runs in this process.
   */
  shutdown(options?: { readonly leaveContainers: boolean }): Promise<void>;
}

/** What servers use, one interface per area, and the engine's own life. */
export interface Engine extends Backend, EngineLife {}

/** Opens the engine with its stored state. When this resolves, running containers are managed again and leftovers are removed. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { config, store, sys, files, logger, clock } = options;
  const past = new EventFile({
    directory: join(config.dataRoot, "events"),
    failed: (error) => logger.warn("past events cannot be stored", { error }),
  });
  const events = new Events(clock, past, () =>
    logger.warn("a client follows the events but does not read them: it loses the oldest of its queue"),
  );
  const partsOf = (containers: ContainerTable): EngineParts => ({
    config,
    store,
    sys,
    files,
    events,
    uses: usesOf(containers),
    logger,
    clock,
  });
  let imagePart: ImagePart | undefined;
  const opened = await openContainers({
    ...options,
    images: (containers) => (imagePart = options.images(partsOf(containers))),
    volumes: (containers) => options.volumes(partsOf(containers)),
    logs: {
      target: (record) => logTarget(record, config),
      readable: (record) => readableLog(record, config),
      compresses: (record) => compressesLog(record),
      destination: (record) => logDestination(record),
    },
    words: { startWords, execWords, exitCodeAfterStart, exitCodeOfExec },
    events,
    eventAttributes,
    wantsStartReport: ({ imageId }) => wantsStartReport(imagePart, imageId),
    records: recordOwner,
  });
  const { images, volumes } = opened;
  const context: EngineContext = { ...opened.context, config, images, oci: options.oci, events };
  await inStep("build-steps", () => removeBuildSteps(context));
  const builder = await inStep("builder", () =>
    options.builder({
      store,
      steps: createStepRunner(context),
      sys,
      files,
      dataRoot: config.dataRoot,
      checkSignal,
      logger,
      clock,
    }),
  );
  let ended: Promise<void> | undefined;
  const shutdown: EngineLife["shutdown"] = ({ leaveContainers } = { leaveContainers: config.liveRestore }) =>
    (ended ??= endEngine(opened, leaveContainers).finally(() => past.close()));
  const life: EngineLife = {
    resume: async () => {
      await opened.resume();
      if (ended === undefined) checkDatabaseNowAndThen(context);
    },
    shutdown,
    [Symbol.asyncDispose]: () => shutdown(),
  };
  return {
    system: createSystemBackend(
      context,
      { images: images.backend, volumes, builder },
      images.authenticate,
      await inStep("engine-id", () => engineId(store.database)),
    ),
    containers: withDockersWords(createContainerBackend(context)),
    execs: withDockersWords(createExecBackend(context)),
    images: images.backend,
    builds: createBuildBackend(context, builder),
    volumes: volumes.backend,
    networks: createNetworkBackend(context),
    ...life,
  };
}

function usesOf(containers: ContainerTable): ContainerUses {
  return {
    ofImage: (id) =>
      containers
        .listHolders()
        .filter(({ record }) => record.imageId === id || record.mounts.some(({ image }) => image?.id === id))
        .map((container) => ({
          id: container.id,
          // Force can remove an image that is only mounted, because its layers are held.
          running: container.process !== undefined && container.record.imageId === id,
          imageName: dockerOf(container.record).config.Image,
        })),
    ofVolume: (name) =>
      containers
        .listHolders()
        .filter((container) => container.record.mounts.some((mount) => mount.name === name))
        .map((container) => container.id),
    volumesInUse: () => volumesInUse(containers.listHolders()),
  };
}

async function endEngine(
  { context, images, abort, close }: Containers<AsyncDisposable, unknown>,
  leaveContainers: boolean,
): Promise<void> {
  abort(new EngineError("unavailable", "the daemon is stopping"));
  // Pulls and similar work first, because their use of the processors would delay the end of the containers.
  await images[Symbol.asyncDispose]();
  const left = await close(leaveContainers);
  await context.networks.stop(left > 0);
}

/** A permanent name of this engine: `docker info` shows it. */
function engineId(database: Database): string {
  database.migrate("engine-settings", [
    {
      version: 1,
      up: ["CREATE TABLE engine_settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID"],
    },
  ]);
  const known = database.get("SELECT value FROM engine_settings WHERE key = 'id'")?.["value"];
  if (typeof known === "string") return known;
  const text = randomId();
  const id = `${text.slice(0, 8)}-${text.slice(8, 12)}-4${text.slice(13, 16)}-a${text.slice(17, 20)}-${text.slice(20, 32)}`;
  database.run("INSERT INTO engine_settings (key, value) VALUES ('id', ?)", id);
  return id;
}
