/**
 * The containers between two requests. This package owns the rows, the states and their changes. The runtime starts processes, the store has
 * the layers, and the network moves packets.
 *
 * The code that builds on it passes in what is declared here: images and volumes by name, the OCI configuration of a record, logs, events, and
 * the words for failures.
 *
 * Errors: `Refused` and `NotReady` when a container's state does not allow something, `ContainerProblem` for other errors of a request (no such
 * container, a name that is taken, namespaces that cannot be joined), `LaunchFailure` when something could not be started, EngineError for all
 * others. Every change of a row is one transaction. Reads come from the map in memory.
 */
import type { LaunchFailure, LogSink } from "@fathom/runtime";
import type { LogDestination } from "./logs/shipping/destination.ts";
import type { ChainId, Digest, JsonObject, LinuxSeccomp, OciProcess, OciSpec } from "@fathom/spec";
import type { ContainerSpec } from "./container-spec.ts";
import type { ExecSpec } from "./exec/exec-spec.ts";
import type { ContainerRecord } from "./record.ts";

export interface ContainersConfig {
  /** State that survives a reboot: `/var/lib/fathom`. */
  readonly dataRoot: string;
  /** For containers that have no servers, domains or options of their own. */
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly hostGatewayIps: readonly string[];
  /** Seconds that a graceful stop waits for a container that has no stop timeout of its own. */
  readonly shutdownTimeoutSeconds: number;
  /** An init process in containers that do not choose. */
  readonly init: boolean;
}

export type EventType = "container" | "image" | "volume" | "network" | "daemon" | "builder";

/** Events are numbered by time and stored. No code waits for a listener. */
export interface EventPublisher {
  publish(type: EventType, action: string, actorId: string, attributes: Readonly<Record<string, string>>): void;
}

/** An image whose layers a container mounts. */
export interface MountableImage {
  readonly id: Digest;
  /** Topmost chain id; undefined for an image without layers. */
  readonly topLayer: ChainId | undefined;
}

export interface ImageLookup {
  /**
   * An image by name, name@digest, id or unique id prefix, as the user typed it.
   * @throws not-found "No such image: busybox:1.99" (with the tag that the name means), invalid-argument "invalid reference format…"
   */
  lookup(name: string): MountableImage;
}

/** Namespace files (`/proc/<pid>/ns/net`) of other containers that this one joins. */
export interface JoinedNamespaces {
  readonly network: string | undefined;
  readonly uts: string | undefined;
  readonly pid: string | undefined;
  readonly ipc: string | undefined;
}

/** A container to which another one is linked. */
export interface LinkedContainer {
  readonly alias: string;
  readonly record: ContainerRecord;
  /** Its address in the default network. */
  readonly address: string | undefined;
}

/** How the owner of the extensions reads stored records. */
export interface RecordOwner {
  /**
   * The spec that an extension means. With this function the spec is derived at each start of a daemon and not stored. Absent when the spec
   * itself is stored.
   * @throws data-loss when the extension is not the owner's
   */
  readonly specOf?: (record: Pick<ContainerRecord, "id" | "extension">) => ContainerSpec;
  /**
   * Converts a record of an earlier version, which has no extension, to the present stored form: an `extension`, and a `spec` when it is stored.
   * @throws data-loss when no earlier version wrote such a record
   */
  readonly upgrade: (old: JsonObject) => JsonObject;
}

/** A container's log, from its settings. */
export interface LogChoice {
  /** What the supervisor gets. @throws invalid-argument for a pattern that takes too long */
  target(record: ContainerRecord): LogSink;
  /** Path of the log when it can be read; undefined when no log is kept. */
  readable(record: ContainerRecord): string | undefined;
  /** Whether rotated files of the log are compressed; absent when none are. */
  readonly compresses?: (record: ContainerRecord) => boolean;
  /** Where the records are sent; undefined when they stay on this machine, absent when all do. Then `target` is the spool, `cachedLog` of `containerPaths`. */
  readonly destination?: (record: ContainerRecord) => LogDestination | undefined;
}

/** The words for failures that users read in a container's state. */
export interface FailureWords {
  startWords(failure: LaunchFailure): string;
  execWords(failure: LaunchFailure): string;
  /** `before`: the exit code of the previous run. */
  exitCodeAfterStart(failure: LaunchFailure, before: number): number;
  exitCodeOfExec(failure: LaunchFailure): number;
}

/** Makes an OCI configuration from a container's record. Every implementation and every fake runs `testing/translation-suite.ts`. */
export interface ContainerTranslation {
  /** @throws invalid-argument, not-found ("unable to find user …"), internal (a device that does not exist) in Docker's words */
  containerSpec(input: {
    readonly record: ContainerRecord;
    /** The mounted root, for /etc/passwd and /etc/group. */
    readonly rootFd: number;
    readonly namespaces: JoinedNamespaces;
    /** Host paths bound over /etc/hosts, /etc/hostname and /etc/resolv.conf. */
    readonly files: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string };
    readonly hostname: string;
    /** The containers to which it is linked; absent for none. */
    readonly links?: readonly LinkedContainer[];
    /** Host path of another container's /dev/shm; undefined when the container has its own. */
    readonly sharedMemory: string | undefined;
  }): Promise<OciSpec>;
  /**
   * The user of the container's first process, looked up in a mounted root, or in the root of a process of the container.
   * @throws not-found ("unable to find user …")
   */
  containerUser(input: {
    readonly record: ContainerRecord;
    readonly root: { readonly rootFd: number } | { readonly pid: number };
  }): Promise<{ readonly uid: number; readonly gid: number }>;
  execProcess(input: {
    readonly record: ContainerRecord;
    readonly exec: ExecSpec;
    /** Host pid of the container's first process; users are looked up in its root. */
    readonly pid: number;
    /** As for `containerSpec`. */
    readonly links?: readonly LinkedContainer[];
  }): Promise<{ readonly process: OciProcess; readonly seccomp: LinuxSeccomp | undefined }>;
}
