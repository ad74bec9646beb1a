/**
 * The containers: what one is between two requests. This package owns the rows, the states and their changes; how a process is started is the runtime's business,
 * what a layer is the store's, how packets flow the network's.
 *
 * Whoever builds on it gives it what is declared here: images and volumes by name, the OCI configuration of a record, logs, events, and the words for failures.
 *
 * Errors: `Refused` for what a container's state does not allow, `LaunchFailure` for what could not be started, EngineError for the rest. Every change of a row is one
 * transaction; the map in memory is the read path.
 */
import type { LaunchFailure, LogSink } from "@fathom/runtime";
import type { ChainId, Digest, LinuxSeccomp, OciProcess, OciSpec } from "@fathom/spec";
import type { ContainerSpec } from "./container-spec.ts";
import type { ExecSpec } from "./exec/exec-spec.ts";
import type { ContainerRecord } from "./record.ts";

export interface ContainersConfig {
  /** State that survives: `/var/lib/fathom`. */
  readonly dataRoot: string;
  /** For containers that name no servers, domains or options themselves. */
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly hostGatewayIps: readonly string[];
  /** Seconds that a graceful stop waits for containers without a stop timeout of their own. */
  readonly shutdownTimeoutSeconds: number;
  /** An init process in containers that do not say. */
  readonly init: boolean;
}

export type EventType = "container" | "image" | "volume" | "network" | "daemon" | "builder";

/** Events are numbered by time and kept in a ring; nothing waits for a listener. */
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
   * @throws not-found "No such image: busybox:1.99" (with the tag that was meant), invalid-argument "invalid reference format…"
   */
  lookup(name: string): MountableImage;
}

/** Namespace files (`/proc/<pid>/ns/net`) of other containers that one joins. */
export interface JoinedNamespaces {
  readonly network: string | undefined;
  readonly uts: string | undefined;
  readonly pid: string | undefined;
  readonly ipc: string | undefined;
}

/** What the owner of the extensions says of records that are stored. */
export interface RecordOwner {
  /**
   * The spec that an extension means, where the owner can tell: it is then derived at each start of a daemon, and not stored. Absent where the spec itself is the data.
   * @throws data-loss when the extension is not the owner's
   */
  readonly specOf?: (record: Pick<ContainerRecord, "id" | "extension">) => ContainerSpec;
  /**
   * A record as an earlier version wrote it, without an extension, brought to today's form.
   * @throws data-loss when it is nothing that an earlier version wrote
   */
  readonly upgrade: (old: Readonly<Record<string, unknown>>) => ContainerRecord;
}

/** A container's log, by its settings. */
export interface LogChoice {
  /** What the supervisor is given. @throws invalid-argument for a pattern that takes too long */
  target(record: ContainerRecord): LogSink;
  /** Path of the log that can be read; undefined where none is kept. */
  readable(record: ContainerRecord): string | undefined;
}

/** How failures are said to those who read a container's state. */
export interface FailureWords {
  startWords(failure: LaunchFailure): string;
  execWords(failure: LaunchFailure): string;
  /** `before`: the code of the run before. */
  exitCodeAfterStart(failure: LaunchFailure, before: number): number;
  exitCodeOfExec(failure: LaunchFailure): number;
}

/** A container's record as an OCI configuration. Every implementation and every fake runs `testing/translation-suite.ts`. */
export interface ContainerTranslation {
  /** @throws invalid-argument, not-found ("unable to find user …"), internal (a device that is not there) in Docker's words */
  containerSpec(input: {
    readonly record: ContainerRecord;
    /** The mounted root, for /etc/passwd and /etc/group. */
    readonly rootFd: number;
    readonly namespaces: JoinedNamespaces;
    /** Host paths bound over /etc/hosts, /etc/hostname and /etc/resolv.conf. */
    readonly files: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string };
    readonly hostname: string;
    /** Host path of another container's /dev/shm; undefined for its own. */
    readonly sharedMemory: string | undefined;
  }): Promise<OciSpec>;
  execProcess(input: {
    readonly record: ContainerRecord;
    readonly exec: ExecSpec;
    /** Host pid of the container's first process: users are looked up in its root. */
    readonly pid: number;
  }): Promise<{ readonly process: OciProcess; readonly seccomp: LinuxSeccomp | undefined }>;
}
