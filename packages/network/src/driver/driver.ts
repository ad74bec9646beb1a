/**
 * What a kind of network is for the manager. Drivers know nothing of each other, of containers and of the gateway rule: addresses come to them chosen (`ipam/`), and the sandbox gives the
 * interface its addresses and routes. Every call finishes or leaves nothing; those that take away are idempotent.
 */
import type { Endpoint, NetworkInfo, NetworkSettings, PreparedLink } from "../contract.ts";
import type { FirewallNetwork } from "../firewall/ruleset.ts";

export interface NetworkDriver {
  /** "bridge". */
  readonly name: string;
  readonly capabilities: DriverCapabilities;
  /**
   * The options as the row has them: checked, and with what the driver chooses by itself. Makes nothing.
   * @throws invalid-argument for options that make no sense, not-implemented for those that it cannot keep
   */
  options(id: string, settings: NetworkSettings): Readonly<Record<string, string>>;
  /** The host's interface whose routes are the network's own: its subnet is not taken by them. */
  hostInterface(network: Pick<NetworkInfo, "id" | "options">): string | undefined;
  /** Makes the network on this host, or takes up what an earlier daemon made. */
  open(network: NetworkInfo): Promise<DriverNetwork>;
}

export interface DriverCapabilities {
  /** A container gets an interface with addresses. Without, it has what its namespace has (host, none). */
  readonly endpoints: boolean;
}

/** How ports of the host lead to endpoints: by the engine's rules (`ports/publisher.ts`). */
export interface Publishing {
  readonly kind: "rules";
  /** For ports without a host address of their own. */
  readonly bindAddress: string;
}

/** An endpoint that is being made. */
export type EndpointDraft = Pick<
  Endpoint,
  "endpointId" | "networkId" | "networkName" | "containerId" | "addresses" | "gateways" | "gatewayPriority"
>;

export interface JoinRequest {
  readonly endpoint: EndpointDraft;
  readonly namespaceFd: number;
  readonly interfaceName: string;
  readonly prepared: PreparedLink | undefined;
}

/** An interface in the container's namespace, by the name that was asked for, down and without addresses. */
export interface JoinedLink {
  readonly index: number;
  /** The host's end; "" for none. */
  readonly hostInterface: string;
}

/** One network on this host. */
export interface DriverNetwork extends Disposable {
  /** Undefined where the engine's rules have nothing to do with the network. */
  readonly rules: FirewallNetwork | undefined;
  /** Undefined where no host port can lead to its endpoints. */
  readonly publishing: Publishing | undefined;
  /** Before an endpoint is made. Puts back what others took away of the network, and plugs in again the endpoints of `hostInterfaces`. */
  repair(hostInterfaces: () => readonly string[]): void;
  /** @returns the MAC address of an endpoint whose user asked for none. */
  createEndpoint(endpoint: EndpointDraft): Promise<{ readonly macAddress: Uint8Array }>;
  join(request: JoinRequest): Promise<JoinedLink>;
  /** "ends": the namespace goes by itself, and with it what is in it. "stays": the interface goes now. */
  leave(endpoint: Pick<Endpoint, "endpointId" | "hostInterface">, namespace: "ends" | "stays"): Promise<void>;
  deleteEndpoint(endpoint: Pick<Endpoint, "endpointId">): Promise<void>;
  /** An interface ahead of its endpoint; absent where that is impossible. Synchronous: whoever claims the namespace meanwhile must see it. */
  readonly prepareLink?: (namespaceFd: number, interfaceName: string) => PreparedLink;
  /** Removes interfaces that belong to none of `hostInterfaces`, and plugs those in that lost their place. */
  clean(hostInterfaces: readonly string[]): void;
  /** Takes the network off the host. */
  remove(): Promise<void>;
  /** Ends what this process has of it; the network stays. */
  [Symbol.dispose](): void;
}
