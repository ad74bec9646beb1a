/** The names of sandboxes: which endpoints have names, and which containers need a resolver. */
import { messageOf, type Logger } from "@fathom/base";
import type { Endpoint, NetworkedContainers } from "../contract.ts";
import type { Sys } from "@fathom/sys";
import type { NamedEndpoint, NamesState, NameService, ServedContainer } from "./contract.ts";

export interface SandboxNamesOptions {
  readonly service: NameService;
  readonly containers: NetworkedContainers;
  /** All endpoints of this host. */
  readonly endpoints: () => readonly Endpoint[];
  readonly sys: Pick<Sys, "close">;
  readonly logger: Logger;
}

export class SandboxNames {
  readonly #options: SandboxNamesOptions;
  readonly #served = new Set<string>();

  constructor(options: SandboxNamesOptions) {
    this.#options = options;
  }

  /** Names of known endpoints, and resolvers of their containers. @returns warnings */
  async restore(): Promise<readonly string[]> {
    try {
      return await this.#options.service.restore(() => this.#state());
    } catch (error) {
      return [`containers cannot find each other by name: ${messageOf(error)}`];
    }
  }

  #state(): NamesState {
    const { containers, endpoints, sys } = this.#options;
    const named = endpoints().filter(hasNames);
    using opened = new DisposableStack();
    const served: ServedContainer[] = [];
    for (const containerId of new Set([...named.map((endpoint) => endpoint.containerId), ...this.#served])) {
      const namespaceFd = containers.openNamespace(containerId);
      if (namespaceFd === undefined) continue;
      opened.defer(() => sys.close(namespaceFd));
      this.#served.add(containerId);
      served.push(this.#container(containerId, namespaceFd));
    }
    const all = opened.move();
    return { endpoints: named.map(namedOf), containers: served, [Symbol.dispose]: () => all.dispose() };
  }

  #container(containerId: string, namespaceFd: number): ServedContainer {
    const namespace = `/proc/${process.pid}/fd/${namespaceFd}`;
    return { containerId, namespace, ...this.#options.containers.resolver(containerId) };
  }

  /** A container in the namespace has a resolver when this ends. Without names nothing happens. @throws what the service throws */
  async add(endpoint: Endpoint, namespaceFd: number): Promise<void> {
    if (!hasNames(endpoint)) return;
    const { service, logger } = this.#options;
    const { containerId } = endpoint;
    // A failure leaves the container to be released, too.
    this.#served.add(containerId);
    const [warnings] = await Promise.all([
      service.serve(this.#container(containerId, namespaceFd)),
      service.setEndpoint(namedOf(endpoint)),
    ]);
    for (const warning of warnings) logger.warn(warning, { id: containerId });
  }

  async rename(endpoint: Endpoint): Promise<void> {
    const { service } = this.#options;
    await (hasNames(endpoint) ? service.setEndpoint(namedOf(endpoint)) : service.removeEndpoint(endpoint.endpointId));
  }

  async remove(endpoint: Endpoint): Promise<void> {
    if (hasNames(endpoint)) await this.#options.service.removeEndpoint(endpoint.endpointId);
  }

  /** The container has ended: its resolver would keep its namespace. */
  async release(containerId: string): Promise<void> {
    if (!this.#served.has(containerId)) return;
    await this.#options.service.release(containerId);
    this.#served.delete(containerId);
  }
}

function hasNames({ names }: Endpoint): boolean {
  return names.length > 0;
}

function namedOf({
  endpointId,
  containerId,
  networkId,
  networkName,
  names,
  links,
  addresses,
  gateways,
}: Endpoint): NamedEndpoint {
  return {
    endpointId,
    containerId,
    networkId,
    networkName,
    names,
    ...(links === undefined ? {} : { links }),
    addresses: addresses.map(({ address }) => address),
    leadsOutside: Object.values(gateways).some((gateway) => gateway !== undefined),
  };
}
