/**
 * The manager's interface to a kind of network. Drivers know nothing of each other, of containers and of the gateway rule: they receive chosen
 * addresses (`ipam/`), and the sandbox gives the interface its addresses and routes. Every call finishes or leaves nothing; calls that remove
 * something may be repeated.
 */
import type { Endpoint, Family, NetworkInfo, NetworkSettings, PreparedLink } from "../contract.ts";
import type { FirewallNetwork } from "../firewall/rule-elements.ts";

export interface NetworkDriver {
  /** "bridge". */
  readonly name: string;
  readonly capabilities: DriverCapabilities;
  /**
   * The options as the row stores them: checked, with the driver's own choices. Makes nothing.
   * @throws invalid-argument for invalid options, not-implemented for options that it does not support
   */
  options(id: string, settings: NetworkSettings): Readonly<Record<string, string>>;
  /** The host's interface whose routes belong to the network itself: they do not count as a conflict with its subnet. */
  hostInterface(network: Pick<NetworkInfo, "id" | "options">): string | undefined;
  /** What the engine's rules say of it; undefined when they do not concern it. @throws invalid-argument for options that it cannot read */
  rules(network: NetworkInfo): FirewallNetwork | undefined;
  /** Makes the network on this host, or uses what an earlier daemon made. */
  open(network: NetworkInfo, origin: NetworkOrigin): Promise<DriverNetwork>;
}

/**
 * "new": no daemon has made the network yet. "stored": an earlier daemon made it; its parts may still exist, or a start of the host may have
 * removed them.
 */
export type NetworkOrigin = "new" | "stored";

export interface DriverCapabilities {
  /** True: a container gets an interface with addresses. False: it has what its namespace has (host, none). */
  readonly endpoints: boolean;
  /** Its `hostInterface` belongs to one network: two networks cannot have the same. */
  readonly ownsInterface: boolean;
}

/** How host ports reach endpoints: through the engine's rules (`ports/publisher.ts`). */
export interface Publishing {
  readonly kind: "rules";
  /** For ports without a host address of their own. */
  readonly bindAddress: string;
  /** Families in which containers are reached at their own addresses: ports of the host do not lead to them. */
  readonly routed: readonly Family[];
}

/** An endpoint that is being made. */
export type EndpointDraft = Pick<
  Endpoint,
  | "endpointId"
  | "networkId"
  | "networkName"
  | "containerId"
  | "addresses"
  | "gateways"
  | "gatewayPriority"
  | "names"
  | "links"
>;

/** The user's wishes for an endpoint that concern the driver. */
export interface RequestedEndpoint {
  readonly macAddress: Uint8Array | undefined;
}

/**
 * The future of a container's namespace. "ends": the namespace ends by itself, with everything in it. "stays": the driver must remove the
 * interface now; `fd` is undefined when no process knows the namespace any more.
 */
export type LeftNamespace = { readonly kind: "ends" } | { readonly kind: "stays"; readonly fd: number | undefined };

export interface JoinRequest {
  readonly endpoint: EndpointDraft;
  readonly namespaceFd: number;
  readonly interfaceName: string;
  readonly prepared: PreparedLink | undefined;
}

/** An interface in the container's namespace, with the requested name, down and without addresses. */
export interface JoinedLink {
  readonly index: number;
  /** The host's end; "" for none. */
  readonly hostInterface: string;
  /** The gateways, when the driver decides about them itself; absent: the gateways of the draft. */
  readonly gateways?: Endpoint["gateways"];
}

/** One network on this host. */
export interface DriverNetwork extends Disposable {
  /** As `NetworkDriver.rules`. */
  readonly rules: FirewallNetwork | undefined;
  /** Names of interfaces in containers begin with it; "eth" when undefined. */
  readonly interfacePrefix?: string | undefined;
  /** Undefined when no host port can reach its endpoints. */
  readonly publishing: Publishing | undefined;
  /** Called before an endpoint is made. Restores what other programs removed of the network, and connects the endpoints of `hostInterfaces` again. */
  repair(hostInterfaces: () => readonly string[]): void;
  /** Index of its own interface on the host; absent when it has none. */
  readonly hostLink?: number;
  /** Called after that interface, or an address of it, was removed: afterwards the network is whole again, as after `repair`. */
  restore?(hostInterfaces: () => readonly string[]): void;
  /**
   * @returns the MAC address that the sandbox gives the interface; undefined: the interface keeps its MAC address. Not used when the user
   * requested a MAC address.
   */
  createEndpoint(
    endpoint: EndpointDraft,
    requested: RequestedEndpoint,
  ): Promise<{ readonly macAddress: Uint8Array | undefined }>;
  join(request: JoinRequest): Promise<JoinedLink>;
  leave(
    endpoint: Pick<Endpoint, "endpointId" | "interfaceName" | "hostInterface">,
    namespace: LeftNamespace,
  ): Promise<void>;
  deleteEndpoint(endpoint: Pick<Endpoint, "endpointId">): Promise<void>;
  /** An interface in advance of its endpoint; absent when that is impossible. Synchronous, so that code that claims the namespace meanwhile sees it. */
  readonly prepareLink?: (namespaceFd: number, interfaceName: string) => PreparedLink;
  /**
   * Removes interfaces that belong to none of `hostInterfaces`, and connects those again that lost their place.
   * @returns whether it removed one
   */
  clean(hostInterfaces: readonly string[]): boolean;
  /** Removes the network from the host. */
  remove(): Promise<void>;
  /** Ends this process's part of it; the network stays. */
  [Symbol.dispose](): void;
}
