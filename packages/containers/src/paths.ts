/** Where the files of one container are. All durable files are below the data root. */
import { join } from "node:path";
import type { ContainersConfig } from "./contract.ts";
import type { ContainerRecord } from "./record.ts";

type Roots = Pick<ContainersConfig, "dataRoot">;

export interface ContainerPaths {
  /** `containers/<id>` below the data root, 0710. */
  readonly directory: string;
  /** A copy of its row, for a database that does not have it (rows/descriptions.ts). */
  readonly description: string;
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
  /**
   * Socket and exit status of the supervisor, 0700. It is below the data root and not below /run, because the exit status must survive a power
   * loss. A socket file that a reboot left behind answers nobody, so the supervisor counts as ended.
   */
  readonly run: string;
  /** What the next daemon needs to take over the process, when a daemon dies between launch and row. */
  readonly adopt: string;
  readonly jsonLog: string;
  readonly localLog: string;
  /** The output of a container whose log goes to a receiver, and how far it was sent (logs/shipping). */
  readonly cachedLog: string;
  readonly logPosition: string;
  /** A tmpfs while a container with shareable IPC runs: other containers bind it as their /dev/shm. */
  readonly sharedMemory: string;
  /** Images that are mounted into the container while it runs. */
  readonly images: string;
}

export function containersRoot(config: Roots): string {
  return join(config.dataRoot, "containers");
}

export function containerPaths(config: Roots, id: string): ContainerPaths {
  const directory = join(containersRoot(config), id);
  return {
    directory,
    description: join(directory, "container.json"),
    hosts: join(directory, "hosts"),
    hostname: join(directory, "hostname"),
    resolvConf: join(directory, "resolv.conf"),
    run: join(directory, "run"),
    adopt: join(directory, "run", "adopt.json"),
    jsonLog: join(directory, `${id}-json.log`),
    localLog: join(directory, "local-logs", "container.log"),
    cachedLog: join(directory, "container-cached.log"),
    logPosition: join(directory, "log-position"),
    sharedMemory: join(directory, "shm"),
    images: join(directory, "images"),
  };
}

/** Host path to bind over /dev/shm of this container, or of one that joins it; undefined when the container has its own. */
export function sharedMemoryPath(
  config: Roots,
  { id, spec }: Pick<ContainerRecord, "id" | "spec">,
): string | undefined {
  switch (spec.ipc.kind) {
    case "host":
      return "/dev/shm";
    case "shareable":
      return containerPaths(config, id).sharedMemory;
    default:
      return undefined;
  }
}
