/** Opens the containers with their stored state: the one door of this package. */
import { mkdirSync } from "node:fs";
import { EngineError, KeyedMutex } from "@fathom/base";
import type { VolumeLookup } from "@fathom/volumes";
import type { ContainersContext, ContainersOwner, ContainersParts } from "./context.ts";
import type { ContainersConfig, ImageLookup, RecordOwner } from "./contract.ts";
import { ContainerDescriptions } from "./rows/descriptions.ts";
import { RecordForm } from "./rows/record-form.ts";
import { ExecTable } from "./exec/exec-table.ts";
import { writeRowsLater } from "./lifecycle/ends/late-rows.ts";
import { connectLifecycle } from "./lifecycle/lifecycle.ts";
import { inStep } from "./lifecycle/step-failure.ts";
import { Machine } from "./lifecycle/machine.ts";
import { stopForShutdown } from "./lifecycle/verbs/shutdown.ts";
import { LogWatch } from "./logs/log-watch.ts";
import { LogCompression } from "./logs/compression/log-compression.ts";
import { LogShipping } from "./logs/shipping/shipping.ts";
import { containersRoot } from "./paths.ts";
import { recover } from "./recovery/recover.ts";
import { resume } from "./recovery/resume.ts";
import { takeUpDescribed } from "./recovery/take-up-described.ts";
import { lookAt, readHostProcessors } from "./statistics/sample.ts";
import { Sampler } from "./statistics/sampler.ts";
import { defaultNamespaces, Stems } from "./stems.ts";
import { ContainerTable } from "./rows/table.ts";

/** What is built on volumes, with the volumes themselves. */
export interface VolumeSource {
  readonly lookup: VolumeLookup;
}

export interface ContainersOptions<Images extends ImageLookup, Volumes extends VolumeSource>
  extends ContainersParts, ContainersOwner {
  readonly records: RecordOwner;
  readonly config: ContainersConfig & {
    readonly cgroupParent: string;
    /** How many stems are kept ready; 0 makes each when it is needed. */
    readonly stemPoolSize: number;
  };
  /** Images and volumes may ask the table which containers use them. */
  readonly images: (containers: ContainerTable) => Images;
  readonly volumes: (containers: ContainerTable) => Volumes;
}

export interface Containers<Images, Volumes> {
  readonly context: ContainersContext;
  readonly images: Images;
  readonly volumes: Volumes;
  /** Call it after requests are served: restart policies continue, stems are made. */
  resume(): Promise<void>;
  /** The first step of the daemon's end: nothing is started any more. */
  abort(reason: EngineError): void;
  /** Stops the containers, each with its own timeout, or leaves them running. Returns how many keep running. */
  close(leave: boolean): Promise<number>;
}

/** When this resolves, running containers are managed again and leftovers are removed. */
export async function openContainers<Images extends ImageLookup, Volumes extends VolumeSource>(
  options: ContainersOptions<Images, Volumes>,
): Promise<Containers<Images, Volumes>> {
  const { config, store, launcher, cgroups, sys, logger, clock } = options;
  mkdirSync(containersRoot(config), { recursive: true, mode: 0o710 });
  const form = new RecordForm(options.records);
  const descriptions = new ContainerDescriptions({ config, store, logger, form });
  const containers = await inStep("rows", () => new ContainerTable(store.database, form, descriptions));
  const images = options.images(containers);
  const volumes = options.volumes(containers);
  const shuttingDown = new AbortController();
  const logWatch = new LogWatch(sys);
  const context: ContainersContext = {
    ...options,
    images,
    volumes: volumes.lookup,
    containers,
    machine: new Machine(containers, logger),
    execs: new ExecTable(() => clock.monotonicMs()),
    stems: new Stems({
      launcher,
      cgroups,
      logger,
      cgroupParent: config.cgroupParent,
      size: config.stemPoolSize,
      namespaces: defaultNamespaces(cgroups.version),
    }),
    logWatch,
    logCompression: new LogCompression({ config, containers, logs: options.logs, logger }),
    logShipping: new LogShipping({ config, containers, logs: options.logs, logWatch, logger, sys }),
    sampler: new Sampler({
      clock,
      exists: (container) => containers.byId(container.id) === container,
      hostProcessors: readHostProcessors,
      look: (container, host) => lookAt(container, host, clock),
    }),
    mutex: new KeyedMutex(),
    shuttingDown: shuttingDown.signal,
  };
  containers.onUnwritten = (reason) => writeRowsLater(context, reason);
  connectLifecycle(context);
  await takeUpDescribed(context, form);
  await recover(context);
  descriptions.complete(containers.list());
  context.logShipping.resume(containers.list());
  context.logCompression.resume(containers.list());
  return {
    context,
    images,
    volumes,
    async resume() {
      await resume(context);
      if (!shuttingDown.signal.aborted) context.stems.fill();
    },
    abort: (reason) => shuttingDown.abort(reason),
    async close(leave) {
      await context.stems.close();
      const left = await stopForShutdown(context, leave);
      await context.logShipping.close();
      await context.logCompression.close();
      logWatch[Symbol.dispose]();
      await descriptions.close();
      return left;
    },
  };
}
