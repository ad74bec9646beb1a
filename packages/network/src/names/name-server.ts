/** The resolvers of all containers in one process: one zone and one cache for all, and sockets for each. */
import { EngineError, messageOf, type Clock } from "@fathom/base";
import { AT_FDCWD, O_CLOEXEC, O_RDONLY, type Stat, type Sys } from "@fathom/sys";
import { openContainerSockets, type Answer } from "./container-sockets.ts";
import {
  resolverAddress,
  type NamedEndpoint,
  type NamesState,
  type NameService,
  type ServedContainer,
} from "./contract.ts";
import type { RedirectSys } from "./redirect.ts";
import { Resolver, type Asker } from "./resolver.ts";
import { createSocketTransport } from "./socket-transport.ts";
import type { Transport, UpstreamTimes } from "./upstream.ts";
import { Zone } from "./zone.ts";

/** The resolver of one container can be asked until it is disposed. */
export interface OpenedContainer extends Disposable {
  readonly namespaceFd: number;
  /** Whether the path leads to the same namespace. */
  isIn(namespace: string): boolean;
  /** For the log. */
  readonly warning?: string;
}

export interface NameServerOptions {
  readonly open: (container: ServedContainer, answer: Answer) => Promise<OpenedContainer>;
  readonly transport: Transport;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly times?: UpstreamTimes;
}

export interface NameServer extends NameService {
  /** Number of containers with a resolver. */
  readonly served: number;
}

export type NameServerSys = RedirectSys & Pick<Sys, "open" | "fstat" | "fstatat">;

/** In this process, with sockets in the containers' namespaces; they are closed when it is disposed. */
export function createNameServer(
  sys: NameServerSys,
  options: Pick<NameServerOptions, "clock"> & Partial<NameServerOptions>,
): NameServer {
  return new ContainersNames({
    open: async ({ namespace }, answer) => {
      using opened = new DisposableStack();
      const namespaceFd = sys.open(namespace, O_RDONLY | O_CLOEXEC);
      opened.defer(() => sys.close(namespaceFd));
      const sockets = opened.use(await openContainerSockets(sys, namespaceFd, answer));
      const all = opened.move();
      const isIn = (path: string): boolean => isSameFile(sys.fstat(namespaceFd), sys.fstatat(AT_FDCWD, path, 0));
      return { ...sockets, namespaceFd, isIn, [Symbol.dispose]: () => all.dispose() };
    },
    transport: createSocketTransport(sys),
    ...options,
  });
}

function isSameFile(one: Stat, other: Stat): boolean {
  return one.ino === other.ino && one.dev === other.dev;
}

interface Served {
  readonly asker: Asker & { container: ServedContainer };
  readonly ended: AbortController;
  readonly opened: OpenedContainer;
}

class ContainersNames implements NameServer {
  readonly #open: NameServerOptions["open"];
  readonly #zone = new Zone();
  readonly #resolver: Resolver;
  readonly #served = new Map<string, Served>();
  /** Calls are applied one after the other, because opening sockets takes a moment. */
  #last: Promise<unknown> = Promise.resolve();

  constructor({ open, transport, clock, times }: NameServerOptions) {
    this.#open = open;
    this.#resolver = new Resolver({ zone: this.#zone, transport, clock, ...(times === undefined ? {} : { times }) });
  }

  get served(): number {
    return this.#served.size;
  }

  #inTurn<T>(action: () => Promise<T> | T): Promise<T> {
    const result = this.#last.then(action);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async restore(state: () => NamesState): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      using current = state();
      const { endpoints, containers } = current;
      const known = new Set(endpoints.map(({ endpointId }) => endpointId));
      for (const endpointId of this.#zone.endpointIds()) if (!known.has(endpointId)) this.#zone.delete(endpointId);
      for (const endpoint of endpoints) this.#zone.set(endpoint);
      const wanted = new Set(containers.map(({ containerId }) => containerId));
      for (const containerId of this.#served.keys()) if (!wanted.has(containerId)) this.#close(containerId);
      const warnings: string[] = [];
      for (const container of containers)
        try {
          warnings.push(...(await this.#serve(container)));
        } catch (error) {
          warnings.push(messageOf(error));
        }
      return warnings;
    });
  }

  async setEndpoint(endpoint: NamedEndpoint): Promise<void> {
    return this.#inTurn(() => this.#zone.set(endpoint));
  }

  async removeEndpoint(endpointId: string): Promise<void> {
    return this.#inTurn(() => this.#zone.delete(endpointId));
  }

  async serve(container: ServedContainer): Promise<readonly string[]> {
    return this.#inTurn(() => this.#serve(container));
  }

  async release(containerId: string): Promise<void> {
    return this.#inTurn(() => this.#close(containerId));
  }

  async #serve(wanted: ServedContainer): Promise<readonly string[]> {
    const short = wanted.containerId.slice(0, 12);
    // It would ask itself.
    const servers = wanted.servers.filter(({ address, from }) => from === "host" || address !== resolverAddress);
    const container = { ...wanted, servers };
    const before = this.#served.get(container.containerId);
    const ended = new AbortController();
    const asker = { container, namespaceFd: -1, ended: ended.signal, pending: 0 };
    try {
      if (before?.opened.isIn(container.namespace) === true) {
        before.asker.container = container;
        return [];
      }
      // It runs again, and nobody said that its run before has ended.
      this.#close(container.containerId);
      const opened = await this.#open(container, (query, protocol) => this.#resolver.answer(asker, query, protocol));
      asker.namespaceFd = opened.namespaceFd;
      this.#served.set(container.containerId, { asker, ended, opened });
      return opened.warning === undefined ? [] : [`container ${short}: ${opened.warning}`];
    } catch (error) {
      throw new EngineError("internal", `the resolver of container ${short} cannot be opened: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #close(containerId: string): void {
    const served = this.#served.get(containerId);
    if (served === undefined) return;
    this.#served.delete(containerId);
    served.ended.abort(new Error("the container has ended"));
    served.opened[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#inTurn(() => {
      for (const containerId of this.#served.keys()) this.#close(containerId);
    });
  }
}

/** For tests of what the names are, without sockets. */
export function createNameServerWith(options: NameServerOptions): NameServer {
  return new ContainersNames(options);
}
