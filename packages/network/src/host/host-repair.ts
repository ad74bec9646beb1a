/** Puts back at once what another program removed: rules, bridges and their addresses. */
import { messageOf, type Logger } from "@fathom/base";
import type { HostChange, HostMonitor } from "./host-monitor.ts";

export interface RepairableNetwork {
  /** Index of the host's interface of the network. */
  readonly hostLink: number | undefined;
  restore(): void;
}

export interface HostRepairOptions {
  readonly monitor: HostMonitor;
  /** The networks that have an interface on the host. */
  readonly networks: () => readonly RepairableNetwork[];
  readonly repairRules: () => void;
  /** The container that has this interface of the host; undefined when it is none of ours. */
  readonly containerOf: (hostInterface: string) => string | undefined;
  readonly logger: Logger;
  /** Absent: the usual times. */
  readonly pauseMs?: number;
  readonly retryMs?: number;
}

/** Changes come in groups: the other program finishes its own first. */
const usualPauseMs = 100;
/** After a failure, because the other program may still be at work. */
const usualRetryMs = 500;
const retries = 5;

export class HostRepair implements Disposable {
  readonly #options: HostRepairOptions;
  readonly #watch: Disposable;
  readonly #links = new Set<number>();
  readonly #interfaces = new Set<string>();
  #rules = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @throws SysError when changes cannot be noticed */
  constructor(options: HostRepairOptions) {
    this.#options = options;
    this.#watch = options.monitor.watch((change) => this.#seen(change));
  }

  /** Whether something was seen that was not looked at yet. */
  get pending(): boolean {
    return this.#timer !== undefined;
  }

  #later(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#repair(), ms).unref();
  }

  #seen(change: HostChange): void {
    if (change.kind === "rules") this.#rules = true;
    else if (change.kind === "link-removed" && this.#options.containerOf(change.name) !== undefined)
      this.#interfaces.add(change.name);
    else {
      const index = change.kind === "link-removed" ? change.index : change.linkIndex;
      if (!this.#options.networks().some(({ hostLink }) => hostLink === index)) return;
      this.#links.add(index);
    }
    this.#timer ??= this.#later(this.#options.pauseMs ?? usualPauseMs);
  }

  #repair(): void {
    this.#timer = undefined;
    const { networks, repairRules, containerOf, logger } = this.#options;
    for (const name of this.#interfaces) {
      // The interface of a container that ended is removed with it.
      const id = containerOf(name);
      if (id !== undefined)
        logger.warn("the interface of a container is gone: connect it to its network again", { id, interface: name });
    }
    this.#interfaces.clear();
    try {
      for (const network of networks()) if (this.#links.has(network.hostLink ?? 0)) network.restore();
      this.#links.clear();
      if (this.#rules) repairRules();
      this.#rules = false;
      this.#failures = 0;
    } catch (error) {
      logger.warn("what another program removed could not be put back", { error: messageOf(error) });
      if (++this.#failures <= retries) this.#timer = this.#later(this.#options.retryMs ?? usualRetryMs);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#watch[Symbol.dispose]();
  }
}
