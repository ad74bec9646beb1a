/**
 * Names in user-defined networks: each container of such a network has a resolver at 127.0.0.11, port 53, UDP and TCP. It answers from the
 * names of the container's networks, and asks other servers about everything else.
 *
 * Terms
 * - Named endpoint: a container's addresses in one network, with its names there.
 * - Served container: one that has a resolver. It may be in several networks; the first of them that knows a name answers.
 * - Upstream server: a server for names that no network knows.
 *
 * Promises
 * - A name of a container's networks is never asked outside, for no type of record.
 * - A container that leads nowhere (internal networks only) asks no server from the host's namespace.
 * - Answers of upstream servers are passed on byte for byte; only the id, the spelling of the name and the remaining times to live change.
 * - Input that is no query is dropped or answered with an error; it ends nothing.
 * - Everything is bounded: questions in progress, connections, and the cache.
 */

/** Where clients ask, as with Docker. */
export const resolverAddress = "127.0.0.11";

export interface NamedEndpoint {
  readonly endpointId: string;
  readonly containerId: string;
  readonly networkId: string;
  readonly networkName: string;
  /** The first one is the answer to reverse look-ups. Other endpoints may have the same names. */
  readonly names: readonly string[];
  /** Names that only this container has for others of the network: alias → name. */
  readonly links?: Readonly<Record<string, string>>;
  /** IPv4 and IPv6. */
  readonly addresses: readonly string[];
  /** The container may reach other hosts through this endpoint. */
  readonly leadsOutside: boolean;
}

export interface UpstreamServer {
  /** IPv4 or IPv6; always port 53. */
  readonly address: string;
  /** Whose network leads to the server: the host's own servers are asked from the host, and servers that the user named from the container. */
  readonly from: "host" | "container";
}

export interface ServedContainer {
  readonly containerId: string;
  /** Path of its network namespace ("/proc/12/fd/9"). It is opened once, so it only has to exist during the call. */
  readonly namespace: string;
  /** Asked in this order. */
  readonly servers: readonly UpstreamServer[];
  /** False: names of one label are not asked outside, because the container's resolv.conf adds its search domains to them. */
  readonly asksSingleLabels: boolean;
}

/** The whole state. What its namespaces need is open until it is disposed. */
export interface NamesState extends Disposable {
  readonly endpoints: readonly NamedEndpoint[];
  readonly containers: readonly ServedContainer[];
}

/** Calls are applied in the order in which they are made. Each of them may be repeated. */
export interface NameService extends AsyncDisposable {
  /**
   * Replaces the state. A container that is served already keeps its sockets, and one whose namespace cannot be opened is left out.
   * @param state Called again when the service has lost its state, because its process has ended.
   * @returns warnings for the log
   */
  restore(state: () => NamesState): Promise<readonly string[]>;
  /** Adds an endpoint, or changes its names. */
  setEndpoint(endpoint: NamedEndpoint): Promise<void>;
  removeEndpoint(endpointId: string): Promise<void>;
  /**
   * From the end of this call on the container has a resolver. Loopback is up in its namespace.
   * @returns warnings for the log
   * @throws internal: then it has none
   */
  serve(container: ServedContainer): Promise<readonly string[]>;
  /** Closes its sockets, so that its namespace can end. Its rules end with the namespace. */
  release(containerId: string): Promise<void>;
  /** The daemon ends. Containers that are served still have their resolvers, if those run in a process of their own. */
  [Symbol.asyncDispose](): Promise<void>;
}
