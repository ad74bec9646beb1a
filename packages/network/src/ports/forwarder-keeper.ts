/**
 * Starts forwarders again that have ended by themselves: somebody killed them, or memory was short. While one does not run, nobody answers its
 * IPv6 ports. The pauses before new starts grow while it keeps ending.
 */
import { messageOf, type Clock, type Logger } from "@fathom/base";
import type { Forwarders, ForwardListener } from "./forwarders.ts";

/** New sockets for an endpoint's forwarded ports. */
export interface ReopenedPorts extends Disposable {
  readonly listeners: readonly ForwardListener[];
  /** Ports that another program has taken meanwhile, in words. */
  readonly refused: readonly string[];
}

export const firstPauseMs = 100;
export const longestPauseMs = 60_000;
/** If one ran for longer, the next pause is the first one again. */
export const steadyMs = 60_000;

export class ForwarderKeeper {
  readonly #forwarders: Forwarders;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #kept = new Map<string, AbortController>();

  constructor(forwarders: Forwarders, clock: Clock, logger: Logger) {
    this.#forwarders = forwarders;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Whether it runs or not: from now on it should run. */
  keep(endpointId: string, containerId: string, reopen: () => ReopenedPorts): void {
    this.letGo(endpointId);
    const keeping = new AbortController();
    this.#kept.set(endpointId, keeping);
    void this.#follow(endpointId, containerId, reopen, keeping.signal);
  }

  /** Call it before the forwarder is ended. */
  letGo(endpointId: string): void {
    this.#kept.get(endpointId)?.abort(new Error("it is not kept any more"));
    this.#kept.delete(endpointId);
  }

  letAllGo(): void {
    for (const endpointId of this.#kept.keys()) this.letGo(endpointId);
  }

  /** Never rejects. */
  async #follow(
    endpointId: string,
    containerId: string,
    reopen: () => ReopenedPorts,
    signal: AbortSignal,
  ): Promise<void> {
    let pauseMs = firstPauseMs;
    let told = "";
    const tell = (error: unknown): void => {
      const reason = messageOf(error);
      if (reason !== told)
        this.#logger.warn("the forwarder of a container's IPv6 ports cannot be started again yet", {
          id: containerId,
          endpoint: endpointId,
          error: reason,
        });
      told = reason;
    };
    for (;;) {
      const sinceMs = this.#clock.monotonicMs();
      try {
        await this.#forwarders.ended(endpointId, signal);
      } catch (error) {
        // It cannot be watched now: check it again later.
        if (!signal.aborted) tell(error);
      }
      if (this.#clock.monotonicMs() - sinceMs > steadyMs) pauseMs = firstPauseMs;
      await this.#clock.sleep(pauseMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      try {
        if (this.#forwarders.runs(endpointId)) continue;
        using ports = reopen();
        if (ports.listeners.length === 0) throw new Error(ports.refused.join("; "));
        this.#forwarders.start(endpointId, ports.listeners);
        told = "";
        this.#logger.warn("the forwarder of a container's IPv6 ports had ended and is started again", {
          id: containerId,
          endpoint: endpointId,
          ...(ports.refused.length === 0 ? {} : { refused: ports.refused.join("; ") }),
        });
      } catch (error) {
        tell(error);
      }
    }
  }
}
