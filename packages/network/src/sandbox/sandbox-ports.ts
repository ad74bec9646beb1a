/** The published ports of one container: at which of its endpoints they are, and how they move from one to another. */
import type { Endpoint, SandboxRequest } from "../contract.ts";
import type { EndpointDraft } from "../driver/driver.ts";
import type { PortLease } from "../ports/port-lease.ts";
import type { Attached } from "./endpoint-table.ts";
import { portsOwner } from "./gateway.ts";
import type { LiveNetwork } from "./live-network.ts";
import type { SandboxHost } from "./sandbox-host.ts";

export class SandboxPorts {
  readonly #host: () => SandboxHost;
  readonly #request: SandboxRequest;

  /** @param host Throws when the networks do not run. */
  constructor(host: () => SandboxHost, request: SandboxRequest) {
    this.#host = host;
    this.#request = request;
  }

  get #attached(): readonly Attached[] {
    return this.#host().table.ofContainer(this.#request.containerId);
  }

  /** Reserves the ports for an endpoint; undefined when there are none. */
  lease({ driven: { publishing } }: LiveNetwork, draft: EndpointDraft): PortLease | undefined {
    const { ports = [], containerName } = this.#request;
    if (ports.length === 0 || publishing === undefined) return undefined;
    return this.#host().publisher.lease(ports, draft, containerName, publishing);
  }

  /** The endpoint that has them. */
  holder(): Attached | undefined {
    return this.#attached.find(({ lease }) => lease !== undefined);
  }

  /**
   * Moves the container's ports to the endpoint that the gateway rule chooses. `holder` has them now, and may have left the table. After a
   * failure they are as before.
   */
  async settle(holder: Attached | undefined): Promise<void> {
    const { table, publisher, networks } = this.#host();
    const owner = portsOwner(this.#attached.map(({ endpoint }) => endpoint));
    // Ports at an endpoint of a network that is not open stay where they are.
    if (owner !== undefined && holder?.endpoint.endpointId === owner.endpointId) return;
    const target =
      owner === undefined ? undefined : (networks.get(owner.networkId) ?? (await networks.opened(owner.networkId)));
    const to = target?.driven.publishing === undefined ? undefined : owner;
    if (holder?.endpoint.endpointId === to?.endpointId) return;
    if (holder?.lease !== undefined && to !== undefined && this.#publishAlike(holder.endpoint, to)) {
      const { endpoint: from, lease } = holder;
      const isLeaving = table.get(from.endpointId) === undefined;
      // The table changes first, because the rules may be made again from the table before the move has ended.
      if (!isLeaving) table.set({ endpoint: { ...from, ports: [] }, lease: undefined });
      table.set({ endpoint: { ...to, ports: lease.bindings }, lease });
      try {
        await publisher.move(from, to, lease);
      } catch (error) {
        table.set({ endpoint: to, lease: undefined });
        if (!isLeaving) table.set(holder);
        throw error;
      }
      return;
    }
    try {
      if (holder?.lease !== undefined) await this.release(holder);
      if (to !== undefined) this.#publishAt(to);
    } catch (error) {
      const before = holder?.lease === undefined ? undefined : table.get(holder.endpoint.endpointId);
      if (before !== undefined) this.#tryToPublishAt(before.endpoint);
      throw error;
    }
  }

  /** Takes the container's ports for an endpoint and opens them there. After a failure nobody has them. */
  #publishAt(endpoint: Endpoint): void {
    const { table, publisher, networks } = this.#host();
    const network = networks.get(endpoint.networkId);
    const lease = network === undefined ? undefined : this.lease(network, endpoint);
    if (lease === undefined) return;
    try {
      publisher.publish(endpoint, lease);
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
    table.set({ endpoint: { ...endpoint, ports: lease.bindings }, lease });
  }

  /** Ports of the host that lead to one also lead to the other. */
  #publishAlike(...endpoints: readonly Endpoint[]): boolean {
    const { networks } = this.#host();
    const [one, other] = endpoints.map(({ networkId }) => networks.get(networkId)?.driven.publishing?.routed.join());
    return (one ?? "") === (other ?? "");
  }

  async release({ endpoint, lease }: Attached): Promise<void> {
    const { table, publisher } = this.#host();
    try {
      await publisher.unpublish(endpoint, lease?.bindings ?? []);
    } finally {
      lease?.[Symbol.dispose]();
      if (table.get(endpoint.endpointId) !== undefined)
        table.set({ endpoint: { ...endpoint, ports: [] }, lease: undefined });
    }
  }

  /** The error of the caller is the one to report. */
  #tryToPublishAt(endpoint: Endpoint): void {
    try {
      this.#publishAt(endpoint);
    } catch {
      // Nobody has the ports.
    }
  }
}
