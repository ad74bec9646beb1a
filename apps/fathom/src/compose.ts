/** The only place where implementations are connected: opens what the engine needs, in the right order. */
import { basename, dirname, join } from "node:path";
import { shortId, systemClock, type Logger } from "@fathom/base";
import {
  createEngine,
  createImagePart,
  createNetworkState,
  createOciTranslation,
  createVolumePart,
  describeLayers,
  imageParts,
  type Engine,
} from "@fathom/engine";
import { openBuilder } from "@fathom/builder";
import { createImages, type Images } from "@fathom/images";
import {
  createForwarders,
  createHelperNames,
  createHostMonitor,
  createNetworkManager,
  networkConfig,
} from "@fathom/network";
import { createLauncher, openCgroups, type LaunchPlan } from "@fathom/runtime";
import { openStore } from "@fathom/store";
import { createHostFiles, type Sys, forwarderExecutable, helperExecutable } from "@fathom/sys";
import type { DaemonConfig } from "./settings/daemon-config.ts";
import { checkDatabaseInChild } from "./database-check.ts";
import { nameHelperProgram } from "./process/name-helper.ts";
import { openSupervisorHome } from "./process/supervisor-place.ts";

export interface Composition {
  readonly config: Pick<DaemonConfig, "engine" | "network" | "registry" | "rebuildDatabase">;
  readonly sys: Sys;
  readonly logger: Logger;
  /** Collects what must be closed again, in reverse order, when the engine is no longer needed. */
  readonly resources: AsyncDisposableStack;
}

/** The state directories exist and belong to the caller alone. The engine serves requests after `resume()`. */
export async function composeEngine({ config, sys, logger, resources }: Composition): Promise<Engine> {
  const { engine: settings } = config;
  const files = createHostFiles({ sys, executable: () => helperExecutable(sys) });
  const store = resources.use(
    await openStore({
      root: settings.dataRoot,
      sys,
      logger,
      syncFilesystem: (path) => files.sync(path),
      removeTree: (path) => files.remove(path),
      describe: describeLayers(settings),
      checkDatabaseFile: checkDatabaseInChild,
      rebuildDatabase: config.rebuildDatabase,
    }),
  );
  const cgroups = openCgroups(sys);
  // Before the networks: their forwarders use it too.
  const { place } = resources.use(openSupervisorHome(sys, cgroups, settings.cgroupParent, logger));
  const names = resources.use(
    createHelperNames({
      sys,
      directory: join(settings.execRoot, "names"),
      program: nameHelperProgram(sys, place),
      clock: systemClock,
      logger,
    }),
  );
  const networks = resources.use(
    createNetworkManager({
      sys,
      config: networkConfig(config.network),
      state: createNetworkState(store.database),
      forwarders: createForwarders({
        sys,
        executable: () => forwarderExecutable(sys),
        directory: join(settings.execRoot, "forward"),
        ...(place === undefined ? {} : { place }),
        clock: systemClock,
        logger,
      }),
      names,
      monitor: createHostMonitor(sys, logger),
      logger,
    }),
  );
  let images: Images | undefined;
  const engine = await createEngine({
    config: settings,
    store,
    launcher: createLauncher({
      sys,
      executable: () => helperExecutable(sys),
      title: containerOf,
      place,
      stateDirectory: settings.dataRoot,
      onStray: ({ pid }) =>
        logger.warn("ended a process that an earlier daemon had made for a container and never started", { pid }),
    }),
    cgroups,
    networks,
    sys,
    files,
    logger,
    clock: systemClock,
    images: (parts) => {
      images = createImages(imageParts(parts, config.registry));
      return createImagePart(parts, images);
    },
    builder: (parts) => openBuilder({ ...parts, images: opened(images) }),
    volumes: (parts) => createVolumePart(parts),
    oci: createOciTranslation({ sys, files, config: settings, cgroups }),
  });
  return resources.use(engine);
}

function opened(images: Images | undefined): Images {
  if (images === undefined) throw new Error("the builder is opened after the images");
  return images;
}

/** ps shows a supervisor as "fathom-init: <short id>"; a stem's cgroup has the name of its container. */
function containerOf({ cgroupProcs }: LaunchPlan["stem"]): string {
  return shortId(basename(dirname(cgroupProcs[0] ?? "")));
}
