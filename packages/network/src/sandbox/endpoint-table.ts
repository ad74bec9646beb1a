/** The endpoints of this host, with the ports of each. In the order in which they were made. */
import type { Endpoint } from "../contract.ts";
import type { PortLease } from "../ports/port-lease.ts";

export interface Attached {
  readonly endpoint: Endpoint;
  /** The lease of the endpoint that has its container's ports. */
  readonly lease: PortLease | undefined;
}

export class EndpointTable {
  readonly #byId = new Map<string, Attached>();

  get(endpointId: string): Attached | undefined {
    return this.#byId.get(endpointId);
  }

  /** Adds one, or replaces it in its place. */
  set(attached: Attached): void {
    this.#byId.set(attached.endpoint.endpointId, attached);
  }

  delete(endpointId: string): Attached | undefined {
    const attached = this.#byId.get(endpointId);
    this.#byId.delete(endpointId);
    return attached;
  }

  all(): readonly Attached[] {
    return [...this.#byId.values()];
  }

  endpoints(): readonly Endpoint[] {
    return this.all().map(({ endpoint }) => endpoint);
  }

  ofNetwork(networkId: string): readonly Endpoint[] {
    return this.all().flatMap(({ endpoint }) => (endpoint.networkId === networkId ? [endpoint] : []));
  }

  ofContainer(containerId: string): readonly Attached[] {
    return this.all().filter(({ endpoint }) => endpoint.containerId === containerId);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Releases what this process holds; the endpoints themselves stay. */
  clear(): void {
    for (const { lease } of this.#byId.values()) lease?.[Symbol.dispose]();
    this.#byId.clear();
  }
}
