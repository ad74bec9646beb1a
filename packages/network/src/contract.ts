/**
 * Container networks: their addresses, interfaces and published ports, and the files /etc/hosts and /etc/resolv.conf. All of it uses netlink;
 * no `ip`, `iptables` or `nft` program runs. State that must survive the daemon is in rows that the engine keeps (`NetworkState`), and in the
 * endpoints, which the engine stores with its containers.
 *
 * Terms
 * - Network: a row, and what its driver (`driver/driver.ts`) made for it on this host.
 * - Sandbox: the network side of one container that has a network namespace of its own.
 * - Endpoint: a container's interface in one network, with its addresses and published ports.
 * - Gateway of a sandbox: the endpoint that has the default route and the published ports (`sandbox/gateway.ts`).
 *
 * Promises
 * - `connect` and `create` either finish, or leave no link, address, rule or lease. `disconnect` and `close` may be called again and try each
 *   part; they throw when one part failed.
 * - Published ports are kernel rules, so they work while no daemon runs.
 * - `start` removes everything that belongs to no known endpoint, and restores what is missing.
 * - Calls for one container must come one after another; the caller ensures that. Calls for different containers may overlap.
 * - No call takes an AbortSignal, because the kernel answers at once.
 */
import type { UpstreamServer } from "./names/contract.ts";

export interface NetworkConfig {
  /** Made at each start; the name identifies each of them across restarts. */
  readonly networks: readonly NetworkSettings[];
  /** Name of the network among `networks` that containers get when they ask for none. */
  readonly defaultNetwork: string;
  /** Where subnets come from when nobody chose one. */
  readonly addressPools: readonly AddressPoolSettings[];
  /** Name of the nf_tables table: two engines on one host have different tables. */
  readonly ruleTable: string;
  /** IP forwarding is turned on when it is off. */
  readonly ipForward: boolean;
  /** Ports are also published on IPv6 addresses, by a process that forwards them. */
  readonly userlandProxy: boolean;
}

export interface AddressPoolSettings {
  readonly base: string;
  readonly size: number;
}

export type Family = "ipv4" | "ipv6";

/** The requested properties of a network. */
export interface NetworkSettings {
  readonly name: string;
  /** One of `NetworkManager.drivers`. */
  readonly driver: string;
  /** The families of the addresses of its endpoints; only IPv4 when absent. Pools of other families are not used. */
  readonly families?: readonly Family[];
  /** A family without one gets a free subnet of the address pools, if the driver's endpoints have addresses. */
  readonly pools: readonly NetworkPoolSettings[];
  /** No way in or out; its endpoints have no gateway. */
  readonly internal: boolean;
  /** Options of the driver, with Docker's names. */
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Data of the network's owner, which comes back with the row. */
  readonly extension?: NetworkExtension;
}

/** What Docker's API shows of a network and nothing else uses. */
export interface NetworkExtension {
  readonly attachable?: boolean;
  readonly ipamOptions?: Readonly<Record<string, string>>;
}

export interface NetworkPoolSettings {
  readonly family: Family;
  /** "172.20.0.0/16". */
  readonly subnet: string;
  /** The first address of the range when absent. */
  readonly gateway?: string;
  /** Addresses that nobody chose come from this part of the subnet; from the whole subnet when absent. */
  readonly range?: string;
  /** By name: addresses of other machines, which are never given out. */
  readonly reserved?: Readonly<Record<string, string>>;
}

/** Addresses of one network. */
export interface NetworkPool extends NetworkPoolSettings {
  readonly gateway: string;
}

/** A network's row. */
export interface NetworkInfo {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly createdAt: string;
  /** The daemon made it from its settings; it cannot be removed. */
  readonly builtin: boolean;
  readonly internal: boolean;
  readonly families: readonly Family[];
  /** With several of one family, the first with a free address is used. */
  readonly pools: readonly NetworkPool[];
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly extension: NetworkExtension;
}

export type Protocol = "tcp" | "udp" | "sctp";

export interface PortRequest {
  readonly protocol: Protocol;
  readonly containerPort: number;
  /** "" means the default address of the network, for both IPv4 and IPv6. */
  readonly hostIp: string;
  /** First and last allowed host port; 0–0 asks for any free port of the ephemeral range. */
  readonly hostPortFirst: number;
  readonly hostPortLast: number;
}

/** With host port 0 no port of the host leads to the container: its own port is open at its own address of this family (a routed network). */
export interface PortBinding {
  readonly protocol: Protocol;
  readonly containerPort: number;
  readonly hostIp: string;
  readonly hostPort: number;
}

export interface EndpointAddress {
  readonly family: Family;
  readonly address: string;
  readonly prefixLength: number;
}

/** Plain data. The engine stores it with the container and passes it to `start`. Rows of earlier versions: `readEndpoint`. */
export interface Endpoint {
  readonly endpointId: string;
  readonly networkId: string;
  readonly networkName: string;
  readonly containerId: string;
  /** In the container: "eth0". */
  readonly interfaceName: string;
  /** The host's end, with which the driver finds the endpoint again; "" for drivers without one. */
  readonly hostInterface: string;
  /** "" when the driver chose no MAC address for the interface. */
  readonly macAddress: string;
  readonly addresses: readonly EndpointAddress[];
  /** Gateways of the network, for each family that has one. The sandbox decides whether the default route uses them. */
  readonly gateways: Readonly<Partial<Record<Family, string>>>;
  readonly gatewayPriority: number;
  /** Its names in the network, for other containers there. The first one is the answer to reverse look-ups. */
  readonly names: readonly string[];
  /** Names that other containers of the network have for this container alone: alias → name. */
  readonly links?: Readonly<Record<string, string>>;
  readonly ports: readonly PortBinding[];
}

/** A user's settings for one endpoint. */
export interface EndpointSettings {
  readonly macAddress?: string;
  readonly ipv4Address?: string;
  readonly ipv6Address?: string;
  /** More addresses for the interface, which the network does not give out: "169.254.8.8". */
  readonly linkLocalAddresses?: readonly string[];
  /** The endpoint with the highest priority becomes the gateway; 0 when absent. */
  readonly gatewayPriority?: number;
  /** See `Endpoint.names`; none when absent. */
  readonly names?: readonly string[];
  /** See `Endpoint.links`; none when absent. */
  readonly links?: Readonly<Record<string, string>>;
  /** Name of the interface in the container; the lowest free one when absent. */
  readonly interfaceName?: string;
  /** Kernel settings of the interface: "net.ipv4.conf.IFNAME.log_martians=1". */
  readonly sysctls?: readonly string[];
}

/** A container's interface that was made before anybody knows which container it will be for. */
export interface PreparedLink {
  readonly networkId: string;
  readonly hostInterface: string;
  /** Name of the container's end, and its index in the container's namespace. */
  readonly interfaceName: string;
  readonly index: number;
}

export interface SandboxRequest {
  readonly containerId: string;
  /** Without slash, for error messages ("… on endpoint NAME (id)"). */
  readonly containerName: string;
  /** The container's network namespace, open as long as the sandbox is used; absent for `close`, and for a container that has none of its own. */
  readonly namespaceFd?: number | undefined;
  /** The published ports of the container, at whichever endpoint is the gateway. */
  readonly ports?: readonly PortRequest[];
  /** From `prepareLink` in the same namespace: the connection to its network then takes about half the time. */
  readonly prepared?: PreparedLink | undefined;
}

/** One container's network. It is a handle: the manager has the data, and another handle of the same container sees the same. */
export interface Sandbox {
  /** In the order in which they were connected. */
  readonly endpoints: readonly Endpoint[];
  /** The endpoint whose gateway is the container's default route. */
  gateway(family: Family): Endpoint | undefined;
  /** The addresses of the container's own name in /etc/hosts, in the order of the lines. */
  readonly addresses: readonly string[];
  /**
   * Makes an endpoint. Its interface has the lowest free name of eth0, eth1 …. If it becomes the gateway, the default route and the published
   * ports move to it: read `endpoints` again.
   * @returns undefined for a network without interfaces (host, none).
   * @throws not-found, conflict when it is connected already, invalid-argument in dockerd's words. For published ports: conflict "driver failed
   * programming external connectivity on endpoint NAME (id): Bind for 0.0.0.0:80 failed: port is already allocated", "…: failed to bind host
   * port 0.0.0.0:80/tcp: address already in use", "…: all ports are allocated".
   */
  connect(networkId: string, settings?: EndpointSettings): Promise<Endpoint | undefined>;
  /** Removes one endpoint of a container that keeps running; default route and ports move to the next gateway. */
  disconnect(endpointId: string): Promise<void>;
  /**
   * Gives a running container the default routes and published ports that it should have, and does not have because a connection or a
   * disconnection was interrupted. Read `endpoints` again. See `StartedNetworks.interfacesRemoved`.
   */
  repair(): Promise<void>;
  /** Other containers find this one by these names from now on. A resolver that does not answer is no failure. @returns the endpoint, for its row; undefined when it is not connected */
  rename(endpointId: string, names: readonly string[]): Promise<Endpoint | undefined>;
  /** The container has ended, or its start has failed: every endpoint is removed, and the interfaces end with the namespace. */
  close(): Promise<void>;
}

/** What the resolver of a container asks about names that its networks do not know: `resolverSettings` makes it. */
export interface ResolverSettings {
  readonly servers: readonly UpstreamServer[];
  /** False: names of one label are not asked outside. */
  readonly asksSingleLabels: boolean;
}

/** The containers, as the networks need them when they begin and when a process that serves them is started again. */
export interface NetworkedContainers {
  resolver(containerId: string): ResolverSettings;
  /** A descriptor of the network namespace of a running container, which the caller closes; undefined when it does not run. */
  openNamespace(containerId: string): number | undefined;
}

/** Where rows are kept. The engine implements it with SQLite, tests with a map. */
export interface NetworkState {
  networks(): readonly NetworkInfo[];
  saveNetwork(network: NetworkInfo): void;
  removeNetwork(id: string): void;
}

export interface StartedNetworks {
  /** For the log. */
  readonly warnings: readonly string[];
  /**
   * Interfaces that belong to no known endpoint were removed: a connection was interrupted before its row was written. The default route of a
   * running container may have been at one of them, so `Sandbox.repair` must be called for each running container.
   */
  readonly interfacesRemoved: boolean;
}

export interface NetworkManager extends AsyncDisposable {
  /**
   * Makes the networks of the settings and of the rows, with the rules. It returns warnings for the log: "ip_forward was off, now on".
   * @param known The endpoints of running containers.
   * @param containers Absent: containers have no resolvers.
   */
  start(known: readonly Endpoint[], containers?: NetworkedContainers): Promise<StartedNetworks>;
  /** Names of the drivers that a network may have. */
  readonly drivers: readonly string[];
  list(): readonly NetworkInfo[];
  /** By id, name or unique id prefix. */
  find(nameOrId: string): NetworkInfo | undefined;
  /** The default network of the settings; undefined before the first start. */
  defaultNetwork(): NetworkInfo | undefined;
  /** @throws conflict for a taken name or subnet, forbidden for an interface of another network, invalid-argument, not-implemented for options that the driver does not support */
  create(settings: NetworkSettings): Promise<NetworkInfo>;
  /** @throws not-found, forbidden for a network of the settings, conflict while it has endpoints */
  remove(id: string): Promise<void>;
  endpoints(networkId: string): readonly Endpoint[];
  /** Never fails, and makes nothing. */
  sandbox(request: SandboxRequest): Sandbox;
  /**
   * Makes the interface for a network (name or id) in a namespace in advance; undefined when its driver has none to make. It is removed with
   * the namespace, or used by `connect`. Do not call it for a namespace that must stay without network. `network` is the first network to which
   * the container will be connected.
   */
  prepareLink(network: string, namespaceFd: number): PreparedLink | undefined;
  /** Removes everything that this daemon made, when nothing uses it (a clean stop without containers). */
  stop(keepRunning: boolean): Promise<void>;
}

export interface HostsFileRequest {
  readonly hostname: string;
  readonly domainname: string;
  readonly addresses: readonly string[];
  /** "name:address", as ExtraHosts; host-gateway is already replaced. */
  readonly extraHosts: readonly string[];
  /** False when the host has no IPv6: then the IPv6 lines are left out. True when absent. */
  readonly ipv6?: boolean;
}

export interface ResolvConfRequest {
  /** Content of the host's own file. */
  readonly host: string;
  /** Its path, for the comment; /etc/resolv.conf when absent (see `chooseResolvConfPath`). */
  readonly hostPath?: string;
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
  /** False for host networking: then loopback resolvers stay. */
  readonly isolated: boolean;
  /** The container has a resolver of its own, because it is in a user-defined network. */
  readonly resolver?: boolean;
}
