/** Shared by the files of this package: the given implementations, the containers, and helper functions for both. */
import { KeyedMutex, type Clock, type Logger } from "@fathom/base";
import type { NetworkManager } from "@fathom/network";
import type { Cgroups, Launcher } from "@fathom/runtime";
import type { Store } from "@fathom/store";
import type { HostFiles, Sys } from "@fathom/sys";
import type { VolumeLookup } from "@fathom/volumes";
import type { ContainerTable } from "./rows/table.ts";
import type { Container } from "./container.ts";
import type {
  ContainersConfig,
  ContainerTranslation,
  EventPublisher,
  FailureWords,
  ImageLookup,
  LogChoice,
} from "./contract.ts";
import type { ExecTable } from "./exec/exec-table.ts";
import type { Machine } from "./lifecycle/machine.ts";
import type { LogWatch } from "./logs/log-watch.ts";
import type { LogCompression } from "./logs/compression/log-compression.ts";
import type { LogShipping } from "./logs/shipping/shipping.ts";
import type { ContainerRecord } from "./record.ts";
import type { Sampler } from "./statistics/sampler.ts";
import type { Stems } from "./stems.ts";
import { NotReady } from "./lifecycle/not-ready.ts";
import { ContainerProblem } from "./problem.ts";

/** The other packages that the containers use. The code that opens an engine makes these objects; they are passed on unchanged. */
export interface ContainersParts {
  readonly store: Store;
  readonly launcher: Launcher;
  readonly cgroups: Cgroups;
  readonly networks: NetworkManager;
  readonly sys: Sys;
  /** For paths from a user. */
  readonly files: HostFiles;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What the owner of the containers' extensions (the engine) provides. */
export interface ContainersOwner {
  readonly oci: ContainerTranslation;
  readonly logs: LogChoice;
  readonly words: FailureWords;
  readonly events: EventPublisher;
  /** Fields that every event of a container has. */
  readonly eventAttributes: (record: ContainerRecord) => Readonly<Record<string, string>>;
  /** Whether a start writes a list of its steps into the container's root (lifecycle/verbs/start-report.ts). */
  readonly wantsStartReport: (record: ContainerRecord) => boolean;
}

export interface ContainersContext extends ContainersParts, ContainersOwner {
  readonly config: ContainersConfig;
  readonly images: ImageLookup;
  readonly volumes: VolumeLookup;
  readonly containers: ContainerTable;
  /** Changes the states of containers. */
  readonly machine: Machine;
  readonly execs: ExecTable;
  readonly stems: Stems;
  readonly logWatch: LogWatch;
  readonly sampler: Sampler;
  readonly logShipping: LogShipping;
  readonly logCompression: LogCompression;
  /** One key per container: changes of one container happen one after another. */
  readonly mutex: KeyedMutex;
  /** Aborts when the daemon stops: then nothing is started any more. */
  readonly shuttingDown: AbortSignal;
}

export function publish(
  engine: ContainersContext,
  container: Container,
  action: string,
  attributes: Readonly<Record<string, string>> = {},
): void {
  engine.events.publish("container", action, container.id, {
    ...engine.eventAttributes(container.record),
    ...attributes,
  });
}

/** Locks the container and runs `task`. The container is looked up again after the lock, because it may have been removed meanwhile. */
export function locked<T>(engine: ContainersContext, container: Container, task: () => Promise<T> | T): Promise<T> {
  return engine.mutex.run(container.id, () => {
    if (engine.containers.byId(container.id) !== container)
      throw new ContainerProblem({ kind: "no-such-container", name: container.record.name });
    return task();
  });
}

/** @throws NotReady */
export function mustRun(container: Container): NonNullable<Container["process"]> {
  if (container.process === undefined) throw new NotReady(container, "process", "not-running");
  return container.process;
}
