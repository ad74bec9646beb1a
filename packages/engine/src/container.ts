/**
 * A container: the record (plain data, one row) and what lives only while this daemon does (the supervisor's connection, waiting
 * clients, timers). The record is replaced, never changed in place; `ContainerTable` is the only one who does it.
 */
import { deferred, type Deferred } from "@fathom/base";
import type { Endpoint } from "@fathom/network";
import type { AttachOptions, Attachment, Cgroup, Supervisor } from "@fathom/runtime";
import type { ChainId, ContainerConfig, Digest, HostConfig } from "@fathom/spec";
import type { MountPoint } from "./contract.ts";
import type { HealthMonitor, HealthState } from "./health.ts";

export const containerStatuses = ["created", "running", "paused", "restarting", "removing", "exited", "dead"] as const;
export type ContainerStatus = (typeof containerStatuses)[number];

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
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly mounts: readonly MountPoint[];
  readonly networks: readonly NetworkAttachment[];
  readonly cgroupPath: string;
  readonly state: ContainerState;
  readonly restartCount: number;
  /** Delay before the present run when a policy started it, 0 when the user did. */
  readonly restartDelayMs: number;
  /** The user's last word was stop or kill: policies rest. */
  readonly stoppedByUser: boolean;
  readonly health: HealthState | undefined;
  /**
   * Set while something outside the row is half done; a starting daemon finishes it. "creating": volumes are being made, nobody has
   * seen the container yet. "removing-with-volumes": anonymous volumes go, then the row.
   */
  readonly pending: "creating" | "removing" | "removing-with-volumes" | undefined;
}

/** A client that attached before the container runs. */
export interface PendingAttach {
  readonly options: AttachOptions;
  /** Aborted when the client has hung up. */
  readonly signal: AbortSignal;
  readonly started: Deferred<Attachment | undefined>;
}

/** What lives while the process does. */
export interface RunningProcess {
  readonly supervisor: Supervisor;
  readonly cgroup: Cgroup;
  /** Monotonic, for the length of the run. */
  readonly startedMs: number;
  /** What the start named as keys to detach, for clients that name none; "" when it named none. */
  readonly detachKeys: string;
  /** Commits that keep it frozen (freeze.ts); each resolves when it has let go. */
  readonly commits: Set<Promise<void>>;
  /** Execs on their way to their program, and whether a freeze waits for them: frozen there, the request for one would never be answered. */
  readonly launchingExecs: Set<Promise<unknown>>;
  freezing: boolean;
  /** Resolves when the exit has been handled completely: state, network, restart decision. */
  readonly ended: Deferred<void>;
}

export class Container {
  record: ContainerRecord;
  process: RunningProcess | undefined;
  readonly pendingAttach = new Set<PendingAttach>();
  /** Woken at each end of a run with its code, and at removal. */
  readonly exitWaiters = new Set<(code: number) => void>();
  readonly removeWaiters = new Set<(result: { code: number } | { error: Error }) => void>();
  /** Ends the wait before the next try of a restart policy. */
  restartTimer: AbortController | undefined;
  readonly execs = new Set<string>();
  /** Readers of its files, and what the last of them does (layer-hold.ts). */
  layerReaders = 0;
  whenUnread: (() => void) | undefined;
  health: HealthMonitor | undefined;
  /** A stop by the user is under way: the exit belongs to it. */
  stopRequested = false;
  /** Restarts by users that are under way: --rm waits for the last of them. */
  restarts = 0;
  readonly removed: Deferred<void> = deferred();

  constructor(record: ContainerRecord) {
    this.record = record;
  }

  get id(): string {
    return this.record.id;
  }

  get running(): boolean {
    return this.process !== undefined;
  }

  /** Its processes are frozen: by the user, or by a commit while it reads. */
  get paused(): boolean {
    return this.status === "paused";
  }

  /** As clients see it: the row knows nothing of commits. */
  get status(): ContainerStatus {
    const { status } = this.record.state;
    return status === "running" && (this.process?.commits.size ?? 0) > 0 ? "paused" : status;
  }
}

/** Attributes of every event of a container: labels, then image and name. */
export function eventAttributes(record: ContainerRecord): Record<string, string> {
  return { ...record.config.Labels, image: record.config.Image, name: record.name };
}
