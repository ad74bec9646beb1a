/**
 * A container: the record (plain data, one row) and the objects that exist only while this daemon runs (the supervisor's connection, waiting
 * clients, timers). The record is replaced, never changed in place. Only `ContainerTable` does that.
 */
import type { ArchiveWriter } from "./files/archive-writers.ts";
import { deferred, type Deferred } from "@fathom/base";
import type { AttachOptions, Attachment, Cgroup, Supervisor } from "@fathom/runtime";
import type { State } from "./lifecycle/states.ts";
import type { ContainerRecord, ContainerStatus } from "./record.ts";

/** The health checks of a run. */
export interface HealthMonitor {
  stop(): void;
}

/** A client that attached before the container started. */
export interface PendingAttach {
  readonly options: AttachOptions;
  /** Aborts when the client hangs up. */
  readonly signal: AbortSignal;
  readonly started: Deferred<Attachment | undefined>;
}

/** Clients that attached before a start, and the streams that the launch made for them, in the same order. */
export interface PendingStreams {
  readonly pending: readonly PendingAttach[];
  readonly attachments: readonly Attachment[];
}

/** Objects that exist while the process does. */
export interface RunningProcess {
  readonly supervisor: Supervisor;
  readonly cgroup: Cgroup;
  /** Monotonic start time, for the length of the run. */
  readonly startedMs: number;
  /** Detach keys that the start named, for clients that choose none. */
  readonly detachKeys: Uint8Array | undefined;
  /** Commits that keep the container frozen (lifecycle/verbs/pause.ts); each promise resolves when its commit no longer needs this. */
  readonly commits: Set<Promise<void>>;
  /** Execs that are being launched, and whether a freeze waits for them. If the freeze came earlier, the launch would never get an answer. */
  readonly launchingExecs: Set<Promise<unknown>>;
  freezing: boolean;
  /** Resolves when the exit has been handled completely: state, network, restart decision. */
  readonly ended: Deferred<void>;
}

export class Container {
  record: ContainerRecord;
  /** Only `Machine` changes it. */
  state: State;
  /** Present while it is running, paused or ending. */
  process: RunningProcess | undefined;
  readonly pendingAttach = new Set<PendingAttach>();
  /** Each end of a run and the removal wake these waiters; an end passes its code. */
  readonly exitWaiters = new Set<(code: number) => void>();
  readonly removeWaiters = new Set<(result: { code: number } | { error: Error }) => void>();
  /** Ends the wait before the next try of a restart policy. */
  restartTimer: AbortController | undefined;
  readonly execs = new Set<string>();
  /** Readers of the container's files, and what to do after the last of them (layer-hold.ts). */
  layerReaders = 0;
  whenUnread: (() => void) | undefined;
  /** A forced removal ends them all, a start those of the previous run. */
  readonly writers = new Set<ArchiveWriter>();
  health: HealthMonitor | undefined;
  /** Restarts by users that are running. --rm waits for the last of them. */
  restarts = 0;
  /** Forced removals that are running: its end need not be durable, because the row is removed anyway. */
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

  /** The container's processes are frozen, by the user or by a commit that reads its files. */
  get paused(): boolean {
    return this.status === "paused";
  }

  /** The state for clients. The row does not say whether a commit freezes the container. */
  get status(): ContainerStatus {
    const { status } = this.record.state;
    return status === "running" && (this.process?.commits.size ?? 0) > 0 ? "paused" : status;
  }
}
