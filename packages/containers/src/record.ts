/** What is known of a container, as plain data: one row. It is replaced, never changed in place (`ContainerTable`). */
import type { Endpoint } from "@fathom/network";
import type { ChainId, Digest } from "@fathom/spec";
import type { ContainerSpec } from "./container-spec.ts";
import type { Health } from "./health/health-check.ts";

/** What the row says of its life; the states of this daemon are in lifecycle/states.ts. */
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

/** What the user asked of a network, kept over stops. */
export interface NetworkAttachment {
  /** As asked: name or id. */
  readonly network: string;
  readonly ipv4Address: string | undefined;
  readonly macAddress: string | undefined;
  readonly aliases: readonly string[] | null;
  readonly links: readonly string[] | null;
  readonly driverOptions: Readonly<Record<string, string>> | null;
  readonly gatewayPriority: number;
  /** Filled while it runs. */
  readonly endpoint: Endpoint | undefined;
  /** Filled at the first start, kept afterwards; "" before. */
  readonly networkId: string;
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
  /** Of who made it, given back as it came. Plain data. */
  readonly extension: unknown;
  readonly mounts: readonly MountPoint[];
  readonly networks: readonly NetworkAttachment[];
  readonly cgroupPath: string;
  readonly state: ContainerState;
  readonly restartCount: number;
  /** Delay before the present run when a policy started it, 0 when the user did. */
  readonly restartDelayMs: number;
  /** The user's last word was stop or kill: policies rest. */
  readonly stoppedByUser: boolean;
  readonly health: Health | undefined;
  /**
   * Set while something outside the row is half done; a starting daemon finishes it. "creating": volumes are being made, nobody has
   * seen the container yet. "removing-with-volumes": anonymous volumes go, then the row.
   */
  readonly pending: "creating" | "removing" | "removing-with-volumes" | undefined;
}

/** One mount of a container with everything decided: input of the OCI translation, and what inspect shows. */
export interface MountPoint {
  readonly type: "bind" | "volume" | "tmpfs" | "image";
  /** Volume name; undefined for others. */
  readonly name: string | undefined;
  /** Host path; "" for tmpfs. */
  readonly source: string;
  readonly destination: string;
  readonly driver: string | undefined;
  /** As inspect shows it: "z", "ro", "". */
  readonly mode: string;
  readonly readWrite: boolean;
  readonly propagation: string;
  /** A volume is filled from the image's content on first use. */
  readonly copyData: boolean;
  /** Inside the volume or the image; "" for its root. */
  readonly subpath: string;
  /** Of type "image": the image as it was asked for, its id, and the row that holds its layers while the container is there. */
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
