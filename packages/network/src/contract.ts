/**
 * Container networks: bridges, addresses, veth pairs, published ports, the files /etc/hosts and /etc/resolv.conf. All of it through
 * netlink; no `ip`, `iptables` or `nft` program is run. State that must survive is rows that the engine keeps (`NetworkState`).
 *
 * Promises
 * - Attach either finishes, or leaves no link, address, rule or lease. Detach is idempotent.
 * - Published ports are kernel rules: they answer while no daemon runs.
 * - `reconcile` at start removes whatever belongs to no known endpoint, and puts back what is missing.
 */
export interface NetworkConfig {
  /** "172.17.0.1/16": address of the default bridge (--bip); a free subnet is chosen when absent. */
  readonly bridgeAddress?: string;
  /** Name of the default bridge interface; "fathom0" by default (docker0 may be another engine's). */
  readonly bridgeName: string;
  readonly addressPools: readonly { readonly base: string; readonly size: number }[];
  readonly mtu: number;
  readonly ipForward: boolean;
  readonly ipMasquerade: boolean;
  readonly interContainerCommunication: boolean;
  /** Address that ports are published on without a host address: "0.0.0.0". */
  readonly defaultBindAddress: string;
  readonly userlandProxy: boolean;
}

export type Protocol = "tcp" | "udp" | "sctp";

export interface PortRequest {
  readonly protocol: Protocol;
  readonly containerPort: number;
  /** "" means the default address, IPv4 and IPv6 both. */
  readonly hostIp: string;
  /** First and last host port allowed; 0–0 asks for any free one of the ephemeral range. */
  readonly hostPortFirst: number;
  readonly hostPortLast: number;
}

export interface PortBinding {
  readonly protocol: Protocol;
  readonly containerPort: number;
  readonly hostIp: string;
  readonly hostPort: number;
}

/** An interface pair of the default bridge, made before it is known which container it will be for. */
export interface PreparedLink {
  readonly hostInterface: string;
  /** Name of the container's end, and its index in its namespace. */
  readonly interfaceName: string;
  readonly peerIndex: number;
}

export interface AttachNetworkRequest {
  /** Container id. */
  readonly containerId: string;
  /** Container name without slash, for error messages ("… on endpoint NAME (id)"). */
  readonly endpointName: string;
  /** Network namespace of the container. */
  readonly namespaceFd: number;
  /** Network id. */
  readonly networkId: string;
  readonly interfaceName: string;
  readonly macAddress?: string;
  readonly ipv4Address?: string;
  readonly ports: readonly PortRequest[];
  readonly isDefaultGateway: boolean;
  /** From `prepareLink` in the same namespace, with the same interface name: attach then takes about half of its time. */
  readonly prepared?: PreparedLink;
}

/** Plain data; the engine stores it with the container and gives it back to `restore` and `detach`. */
export interface Endpoint {
  readonly endpointId: string;
  readonly networkId: string;
  readonly containerId: string;
  readonly interfaceName: string;
  readonly hostInterface: string;
  readonly macAddress: string;
  readonly ipv4Address: string;
  readonly ipv4PrefixLength: number;
  readonly gateway: string;
  readonly ports: readonly PortBinding[];
}

export interface NetworkInfo {
  readonly id: string;
  readonly name: string;
  readonly driver: "bridge" | "host" | "null";
  readonly createdAt: string;
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** Where rows are kept; the engine implements it over SQLite, tests over a map. */
export interface NetworkState {
  networks(): readonly NetworkInfo[];
  saveNetwork(network: NetworkInfo): void;
  removeNetwork(id: string): void;
}

export interface Networks extends AsyncDisposable {
  /** Makes the default networks (bridge, host, none), their bridge and rules. Warnings are for the log: "ip_forward was off, now on". */
  start(known: readonly Endpoint[]): Promise<{ readonly warnings: readonly string[] }>;
  list(): readonly NetworkInfo[];
  /** By id, name or unique id prefix. */
  find(nameOrId: string): NetworkInfo | undefined;
  /**
   * Reserves host ports before a container starts. The caller puts "failed to set up container networking: " before the message.
   * @throws conflict "driver failed programming external connectivity on endpoint NAME (id): Bind for 0.0.0.0:80 failed: port is already
   * allocated", "…: failed to bind host port 0.0.0.0:80/tcp: address already in use", "…: all ports are allocated".
   */
  attach(request: AttachNetworkRequest): Promise<Endpoint>;
  /**
   * Makes the interface pair for the default bridge in a namespace ahead of time. It goes with the namespace, or by `attach`; a namespace that
   * is to stay without network must not be given.
   */
  prepareLink(namespaceFd: number, interfaceName: string): PreparedLink;
  /** Brings lo up in a namespace without any network (none). */
  loopbackUp(namespaceFd: number): void;
  detach(endpoint: Endpoint): Promise<void>;
  endpoints(networkId: string): readonly Endpoint[];
  /** Removes links, rules and reservations that belong to none of `known`. */
  reconcile(known: readonly Endpoint[]): Promise<void>;
  /** Takes everything down that this daemon made, when nothing uses it (a clean stop without containers). */
  stop(keepRunning: boolean): Promise<void>;
}

export interface HostsFileRequest {
  readonly hostname: string;
  readonly domainname: string;
  readonly addresses: readonly string[];
  /** "name:address", as ExtraHosts; host-gateway already replaced. */
  readonly extraHosts: readonly string[];
  /** False where the host has no IPv6: its lines are left out. True when absent. */
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
  /** False for host networking: loopback resolvers then stay. */
  readonly isolated: boolean;
}
