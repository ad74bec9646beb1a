/** What is known about a container, as plain data: one row. It is replaced, never changed in place (`ContainerTable`). */
import type { Endpoint } from "@fathom/network";
import type { ChainId, Digest } from "@fathom/spec";
import type { ContainerSpec } from "./container-spec.ts";
import type { Health } from "./health/health-check.ts";

/** The part of the container's life that the row stores; the states of this daemon are in lifecycle/states.ts. */
export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

export interface ContainerState {
  readonly status: ContainerStatus;
  /** Host pid of the first process, 0 when none runs. */
  readonly pid: number;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  /** RFC3339Nano; the zero time for never. */
  readonly startedAt: string;
  readonly finishedAt: string;
}

/** The settings that the user requested for a network; they stay when the container stops. */
export interface NetworkAttachment {
  /** As requested: name or id. */
  readonly network: string;
  readonly ipv4Address: string | undefined;
  readonly ipv6Address?: string | undefined;
  readonly linkLocalAddresses?: readonly string[] | undefined;
  readonly macAddress: string | undefined;
  readonly aliases: readonly string[] | null;
  readonly links: readonly string[] | null;
  readonly driverOptions: Readonly<Record<string, string>> | null;
  readonly gatewayPriority: number;
  /** Present while the container runs. */
  readonly endpoint: Endpoint | undefined;
  /** Set at the first connection and kept afterwards; "" before. A network that a user made is found by it, so another one with its name is not meant. */
  readonly networkId: string;
}

/** A link of `--link` in the default network. */
export interface ContainerLink {
  /** Id of the target. */
  readonly container: string;
  /** The name that the target has for this container. */
  readonly alias: string;
}

export interface ContainerRecord {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  /** RFC3339Nano. */
  readonly createdAt: string;
  readonly imageId: Digest | "";
  readonly topLayer: ChainId | undefined;
  readonly path: string;
  readonly arguments: readonly string[];
  readonly spec: ContainerSpec;
  /** Data of the owner that made the container, returned unchanged. Plain data. */
  readonly extension: unknown;
  readonly mounts: readonly MountPoint[];
  readonly networks: readonly NetworkAttachment[];
  /** Absent for none (steps/links.ts). */
  readonly links?: readonly ContainerLink[] | undefined;
  readonly cgroupPath: string;
  readonly state: ContainerState;
  readonly restartCount: number;
  /** Delay before the present run when a policy started it; 0 when the user did. */
  readonly restartDelayMs: number;
  /** The user's last command was stop or kill: policies do nothing. */
  readonly stoppedByUser: boolean;
  readonly health: Health | undefined;
  /**
   * Set while work outside the row is half done; a starting daemon finishes it. "creating": volumes are being made, and no client has seen the
   * container yet. "removing-with-volumes": anonymous volumes are removed, then the row.
   */
  readonly pending: "creating" | "removing" | "removing-with-volumes" | undefined;
}

/** One mount of a container, completely decided: the input of the OCI translation, and what inspect shows. */
export interface MountPoint {
  readonly type: "bind" | "volume" | "tmpfs" | "image";
  /** Volume name; undefined for other types. */
  readonly name: string | undefined;
  /** Host path; "" for tmpfs. */
  readonly source: string;
  readonly destination: string;
  readonly driver: string | undefined;
  /** As inspect shows it: "z", "ro", "". */
  readonly mode: string;
  readonly readWrite: boolean;
  readonly propagation: string;
  /** When a volume is used for the first time, it gets the image's content. */
  readonly copyData: boolean;
  /** A path inside the volume or the image; "" for its root. */
  readonly subpath: string;
  /** For type "image": the image as the user requested it, its id, and the row that holds its layers while the container exists. */
  readonly image?: { readonly reference: string; readonly id: string; readonly layer: string } | undefined;
  /** A missing source is made (`-v`), or is an error (`--mount`). */
  readonly createSource: boolean;
  /** Bind without submounts. */
  readonly nonRecursive: boolean;
  /** Submounts stay writable under a read-only bind. */
  readonly readOnlyNonRecursive: boolean;
  readonly readOnlyForceRecursive: boolean;
  /** tmpfs options as mount(8) writes them: "size=64k", "mode=1770", "exec". */
  readonly tmpfsOptions: readonly string[];
  /** From the image's VOLUME or `-v /path`: not listed in HostConfig. */
  readonly anonymous: boolean;
}
