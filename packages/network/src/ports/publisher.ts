/** Published ports of this host: their holders, the rules that redirect them, and the processes that forward IPv6 ports. */
import { EngineError, messageOf, type Logger } from "@fathom/base";
import type { Endpoint, PortBinding, PortRequest } from "../contract.ts";
import type { Publishing } from "../driver/driver.ts";
import type { HostFirewall } from "../firewall/host-firewall.ts";
import { forwardedPorts, publishedPorts, routedPorts, type OpenPort } from "../firewall/rule-elements.ts";
import { parseIpv4 } from "../ipam/ip.ts";
import { parseAddress } from "../ipam/prefix.ts";
import type { ForwarderKeeper } from "./forwarder-keeper.ts";
import type { Forwarders } from "./forwarders.ts";
import { isForwarded, type PortAllocator } from "./port-allocator.ts";
import type { PortLease } from "./port-lease.ts";

type Target = Pick<Endpoint, "endpointId" | "containerId" | "addresses">;

export interface PublisherOptions {
  readonly ports: PortAllocator;
  readonly firewall: HostFirewall;
  /** Absent: no port is published on an IPv6 address. */
  readonly forwarders: Forwarders | undefined;
  readonly keeper: ForwarderKeeper | undefined;
  readonly logger: Logger;
}

/** The target of an endpoint's published ports: rules and forwarder both use its first IPv4 address; without one, the forwarder uses its IPv6 address. */
function addressOf({ addresses }: Pick<Endpoint, "addresses">): string {
  return (addresses.find(({ family }) => family === "ipv4") ?? addresses[0])?.address ?? "";
}

/** Ports of an endpoint in the form of the rules. */
export function rulesOf(endpoint: Pick<Endpoint, "addresses">, bindings: readonly PortBinding[]): OpenPort[] {
  const address = parseIpv4(addressOf(endpoint));
  const addresses = endpoint.addresses.flatMap(({ address: text }) => parseAddress(text) ?? []);
  return [
    ...(address === undefined ? [] : publishedPorts(bindings, address)),
    ...forwardedPorts(bindings),
    ...routedPorts(bindings, addresses),
  ];
}

export class PortPublisher {
  readonly #options: PublisherOptions;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * Takes host ports for an endpoint, before anything else of it is made.
   * @throws unavailable when the kernel has no rules; conflict in dockerd's words, which name the endpoint
   */
  lease(
    requests: readonly PortRequest[],
    endpoint: Target,
    containerName: string,
    { bindAddress, routed }: Publishing,
  ): PortLease {
    const { firewall, ports } = this.#options;
    if (requests.length > 0) firewall.mustPublish();
    try {
      const open = routed.filter((family) => endpoint.addresses.some((address) => address.family === family));
      return ports.allocate(requests, addressOf(endpoint), bindAddress, open);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw new EngineError(
        error.code,
        `driver failed programming external connectivity on endpoint ${containerName} (${endpoint.endpointId}): ${error.message}`,
        { cause: error },
      );
    }
  }

  /** The ports of a running endpoint, with its forwarder. The rules come with the whole table. @returns warnings for the log */
  restore(endpoint: Endpoint): { readonly lease: PortLease; readonly warnings: readonly string[] } {
    const { forwarders, ports } = this.#options;
    const forwarded = endpoint.ports.some(isForwarded) && forwarders?.runs(endpoint.endpointId) === true;
    const { lease, refused } = ports.restore(endpoint.ports, addressOf(endpoint), forwarded);
    const warnings = [...refused];
    try {
      this.#forward(endpoint, lease);
    } catch (error) {
      warnings.push(`its ports do not answer on IPv6: ${messageOf(error)}`);
    }
    this.#keep(endpoint, lease.bindings);
    return { lease, warnings };
  }

  /** From now on the endpoint is the target of the ports. After a failure they have no target. */
  publish(endpoint: Target, lease: PortLease): void {
    const { firewall } = this.#options;
    const rules = rulesOf(endpoint, lease.bindings);
    firewall.addPorts(rules);
    try {
      this.#forward(endpoint, lease);
    } catch (error) {
      firewall.removePorts(rules);
      throw error;
    }
    this.#keep(endpoint, lease.bindings);
  }

  /** The ports have no target now; they stay taken until the lease is disposed of. */
  async unpublish(endpoint: Target, bindings: readonly PortBinding[]): Promise<void> {
    try {
      this.#options.firewall.removePorts(rulesOf(endpoint, bindings));
    } finally {
      if (bindings.some(isForwarded)) await this.endForwarder(endpoint.endpointId);
    }
  }

  /** Moves the ports from `from` to `to`. After a failure `from` is the target as before. */
  async move(from: Target, to: Target, lease: PortLease): Promise<void> {
    const { firewall } = this.#options;
    const { bindings } = lease;
    firewall.movePorts(rulesOf(from, bindings), rulesOf(to, bindings));
    if (!bindings.some(isForwarded)) return;
    await this.endForwarder(from.endpointId);
    try {
      this.#forwardAgain(to, bindings);
    } catch (error) {
      firewall.movePorts(rulesOf(to, bindings), rulesOf(from, bindings));
      this.#keep(from, bindings);
      throw error;
    }
    this.#keep(to, bindings);
  }

  /** Starts the forwarder of an endpoint that needs one. */
  #forward({ endpointId }: Target, lease: PortLease): void {
    if (lease.listeners.length === 0) return;
    this.#options.forwarders?.start(endpointId, lease.listeners);
    lease.handOver();
  }

  /** The sockets of the lease belonged to a forwarder that has ended: new ones replace them. */
  #forwardAgain(endpoint: Target, bindings: readonly PortBinding[]): void {
    using again = this.#options.ports.reopen(bindings, addressOf(endpoint));
    if (again.refused.length > 0) throw new EngineError("conflict", again.refused.join("; "));
    if (again.listeners.length > 0) this.#options.forwarders?.start(endpoint.endpointId, again.listeners);
  }

  /** Starts a forwarder again that ended by itself. */
  #keep(endpoint: Target, bindings: readonly PortBinding[]): void {
    if (!bindings.some(isForwarded)) return;
    const { keeper, ports } = this.#options;
    keeper?.keep(endpoint.endpointId, endpoint.containerId, () => ports.reopen(bindings, addressOf(endpoint)));
  }

  /** Forwarders of removed containers, or of interrupted starts. */
  async endForwardersBut(isKnown: (endpointId: string) => boolean): Promise<void> {
    for (const endpointId of this.#options.forwarders?.list() ?? [])
      if (!isKnown(endpointId)) await this.endForwarder(endpointId);
  }

  async endForwarder(endpointId: string): Promise<void> {
    const { keeper, forwarders, logger } = this.#options;
    keeper?.letGo(endpointId);
    try {
      await forwarders?.end(endpointId);
    } catch (error) {
      logger.error("a forwarder does not end", { error, endpoint: endpointId });
    }
  }

  /** Forwarders keep running without this process. */
  letForwardersGo(): void {
    this.#options.keeper?.letAllGo();
  }
}
