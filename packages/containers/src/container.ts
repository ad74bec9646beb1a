/**
 * A container: the record (plain data, one row) and what lives only while this daemon does (the supervisor's connection, waiting
 * clients, timers). The record is replaced, never changed in place; `ContainerTable` is the only one who does it.
 */
import { deferred, type Deferred } from "@fathom/base";
import type { AttachOptions, Attachment, Cgroup, Supervisor } from "@fathom/runtime";
import type { State } from "./lifecycle/states.ts";
import type { ContainerRecord, ContainerStatus } from "./record.ts";

/** The health checks of a run. */
export interface HealthMonitor {
  stop(): void;
}

/** A client that attached before the container runs. */
export interface PendingAttach {
  readonly options: AttachOptions;
  /** Aborted when the client has hung up. */
  readonly signal: AbortSignal;
  readonly started: Deferred<Attachment | undefined>;
}

/** Clients that attached before a start, and what the launch made for them, in the same order. */
export interface PendingStreams {
  readonly pending: readonly PendingAttach[];
  readonly attachments: readonly Attachment[];
}

/** What lives while the process does. */
export interface RunningProcess {
  readonly supervisor: Supervisor;
  readonly cgroup: Cgroup;
  /** Monotonic, for the length of the run. */
  readonly startedMs: number;
  /** Keys to detach that the start named, for clients that choose none. */
  readonly detachKeys: Uint8Array | undefined;
  /** Commits that keep it frozen (lifecycle/pause.ts); each resolves when it has let go. */
  readonly commits: Set<Promise<void>>;
  /** Execs on their way to their program, and whether a freeze waits for them: frozen there, the request for one would never be answered. */
  readonly launchingExecs: Set<Promise<unknown>>;
  freezing: boolean;
  /** Resolves when the exit has been handled completely: state, network, restart decision. */
  readonly ended: Deferred<void>;
}

export class Container {
  record: ContainerRecord;
  /** Changed by `Machine` alone. */
  state: State;
  /** Present while it is running, paused or ending. */
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
  /** Removals by force that are under way: what is written of its end is gone with its row. */
  forcedRemovals = 0;
  readonly removed: Deferred<void> = deferred();

  constructor(record: ContainerRecord, state: State) {
    this.record = record;
    this.state = state;
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
