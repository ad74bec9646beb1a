/**
 * Processes that are made in advance. An entry is a container id with its cgroup and a stem of the usual namespaces in it. A create takes its
 * id, and the start that follows soon takes its stem, so the start need not clone, make a cgroup or make a network namespace.
 *
 * When a container does not start within `holdMs`, its stem is discarded (a created container uses no process), and the start makes a new one.
 */
import { randomId, type Logger } from "@fathom/base";
import type { PreparedLink } from "@fathom/network";
import type { Cgroup, Cgroups, Launcher, LaunchPlan, PreparedStem } from "@fathom/runtime";

/** How long a created container keeps its stem. */
const holdMs = 10_000;
/** The longest time between two tries to fill the pool when filling fails. */
const longestRetryMs = 60_000;

export interface ReadyStem {
  readonly id: string;
  readonly cgroup: Cgroup;
  readonly prepared: PreparedStem;
  /** The interface of the first network, if one was made in advance. */
  link: PreparedLink | undefined;
}

type Namespaces = LaunchPlan["stem"]["newNamespaces"];

export interface StemOptions {
  readonly launcher: Launcher;
  readonly cgroups: Cgroups;
  readonly logger: Logger;
  readonly cgroupParent: string;
  readonly size: number;
  /** The namespaces of a container without special options. */
  readonly namespaces: Namespaces;
  /** Before the first new try after a failure; a parameter for tests. Each later wait is twice as long. */
  readonly firstRetryMs?: number;
}

export class Stems {
  readonly #options: StemOptions;
  readonly #ready: ReadyStem[] = [];
  readonly #held = new Map<string, { stem: ReadyStem; timer: ReturnType<typeof setTimeout> }>();
  /** Containers whose cgroups are being removed: a start of one of them must not meet its old cgroup. */
  readonly #discarding = new Map<string, Promise<void>>();
  #filling = false;
  #closed = false;
  /** Wait before the next try after failures; 0 without failures. */
  #waitMs = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StemOptions) {
    this.#options = options;
  }

  /** Ids of entries, bound or not: their cgroups are no leftovers. */
  ids(): string[] {
    return [...this.#ready.map((entry) => entry.id), ...this.#held.keys()];
  }

  cgroupPath(parent: string, id: string): string {
    return `${parent === "" ? this.#options.cgroupParent : parent}/${id}`.replace(/^\/*/, "/");
  }

  /** An id for a new container: the id of a ready entry, if there is one, which is then held for `claim`. */
  newId(): string {
    let entry = this.#ready.shift();
    // An entry that ended while it waited no longer has a stem.
    for (; entry !== undefined && !entry.prepared.usable; entry = this.#ready.shift()) this.#discardInBackground(entry);
    this.#fillSoon();
    if (entry === undefined) return randomId();
    const timer = setTimeout(() => this.drop(entry.id), holdMs);
    timer.unref();
    this.#held.set(entry.id, { stem: entry, timer });
    return entry.id;
  }

  /**
   * The stem that is held for this container, if it still waits and matches `stem`; else a new one. From here on the caller owns both parts.
   * `cgroup` is made when the container has none.
   */
  async claim(id: string, cgroupPath: string, build: (cgroup: Cgroup) => LaunchPlan["stem"]): Promise<ReadyStem> {
    const held = this.#held.get(id);
    if (held !== undefined) {
      this.#held.delete(id);
      clearTimeout(held.timer);
      await using undo = new AsyncDisposableStack();
      undo.defer(() => discard(held.stem));
      if (
        held.stem.prepared.usable &&
        held.stem.cgroup.path === cgroupPath &&
        sameStem(build(held.stem.cgroup), this.#defaultStem(held.stem.cgroup))
      ) {
        undo.move();
        return held.stem;
      }
    }
    await this.#discarding.get(id);
    const cgroup = this.#options.cgroups.create(cgroupPath);
    try {
      return { id, cgroup, prepared: await this.#options.launcher.prepare(build(cgroup)), link: undefined };
    } catch (error) {
      await cgroup.remove();
      throw error;
    }
  }

  /**
   * Makes the interface of a held stem after the present request is answered: the client takes longer to send the start.
   * Only for a container that will be connected first to the network of that interface.
   */
  prepareLinkSoon(id: string, make: (namespaceFd: number) => PreparedLink | undefined): void {
    setImmediate(() => {
      const stem = this.#held.get(id)?.stem;
      if (stem?.prepared.networkNamespaceFd === undefined || stem.link !== undefined) return;
      try {
        stem.link = make(stem.prepared.networkNamespaceFd);
      } catch (error) {
        this.#options.logger.debug("making a link in advance failed", { error, id });
      }
    });
  }

  /** Discards what is held for a container. */
  drop(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    clearTimeout(held.timer);
    this.#discardInBackground(held.stem);
  }

  fill(): void {
    // After a failure the timer decides when to try again.
    if (this.#filling || this.#closed || this.#retry !== undefined) return;
    this.#filling = true;
    void this.#fill().finally(() => (this.#filling = false));
  }

  #fillSoon(): void {
    // After the requests that are waiting now: filling must not slow the start that emptied the pool.
    if (this.#options.size > 0 && !this.#closed) setTimeout(() => this.fill(), 20).unref();
  }

  async #fill(): Promise<void> {
    while (this.#ready.length < this.#options.size && !this.#closed && this.#retry === undefined) {
      const id = randomId();
      try {
        const cgroup = this.#options.cgroups.create(this.cgroupPath("", id));
        try {
          const prepared = await this.#options.launcher.prepare(this.#defaultStem(cgroup));
          this.#ready.push({ id, cgroup, prepared, link: undefined });
          this.#waitMs = 0;
        } catch (error) {
          await cgroup.remove();
          throw error;
        }
      } catch (error) {
        // Without stems in advance everything works, only slower.
        this.#options.logger.warn("preparing a stem failed", { error });
        this.#fillLater();
      }
    }
    if (this.#closed) await this.close();
  }

  #fillLater(): void {
    const { firstRetryMs = 1000 } = this.#options;
    this.#waitMs = this.#waitMs === 0 ? firstRetryMs : Math.min(this.#waitMs * 2, longestRetryMs);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.fill();
    }, this.#waitMs);
    this.#retry.unref();
  }

  #defaultStem(cgroup: Cgroup): LaunchPlan["stem"] {
    return { newNamespaces: this.#options.namespaces, cgroupProcs: cgroup.procsFiles };
  }

  #discardInBackground(stem: ReadyStem): void {
    const discarding = discard(stem)
      .catch((error) => this.#options.logger.warn("discarding a stem failed", { error, id: stem.id }))
      .finally(() => this.#discarding.delete(stem.id));
    this.#discarding.set(stem.id, discarding);
  }

  /** Discards every entry. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const entries = [...this.#ready.splice(0), ...[...this.#held.values()].map((held) => held.stem)];
    for (const held of this.#held.values()) clearTimeout(held.timer);
    this.#held.clear();
    await Promise.allSettled(entries.map(discard));
  }
}

export async function discard(stem: ReadyStem): Promise<void> {
  try {
    await stem.prepared.discard();
  } finally {
    await stem.cgroup.remove();
  }
}

function sameStem(a: LaunchPlan["stem"], b: LaunchPlan["stem"]): boolean {
  return (
    a.joinPidNamespace === undefined &&
    a.uidMap === undefined &&
    a.gidMap === undefined &&
    [...a.newNamespaces].sort().join() === [...b.newNamespaces].sort().join() &&
    [...a.cgroupProcs].sort().join() === [...b.cgroupProcs].sort().join()
  );
}

/** What Docker gives a container without special options: on v1 it sees the host's cgroup namespace. */
export function defaultNamespaces(version: Cgroups["version"]): Namespaces {
  const usual: Namespaces = ["mount", "pid", "network", "ipc", "uts"];
  return version === "v2" ? [...usual, "cgroup"] : usual;
}
