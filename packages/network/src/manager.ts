/** The networks of an engine: opens them at a start, and makes sandboxes for them. */
import { EngineError, messageOf, silentLogger, systemClock, type Clock, type Logger } from "@fathom/base";
import type {
  Endpoint,
  NetworkConfig,
  NetworkInfo,
  NetworkManager,
  NetworkSettings,
  NetworkState,
  PreparedLink,
  Sandbox,
  SandboxRequest,
} from "./contract.ts";
import type { NetworkDriver } from "./driver/driver.ts";
import type { FirewallContents } from "./firewall/host-firewall.ts";
import { HostNetwork, type NetworkSys } from "./host/host-network.ts";
import { LiveNetworks } from "./live-networks.ts";
import type { Forwarders } from "./ports/forwarders.ts";
import { rulesOf } from "./ports/publisher.ts";
import { EndpointTable } from "./sandbox/endpoint-table.ts";
import { freeInterfaceName } from "./sandbox/gateway.ts";
import type { LiveNetwork } from "./sandbox/live-network.ts";
import { ContainerSandbox, type SandboxHost } from "./sandbox/sandbox.ts";

export interface NetworkDependencies {
  readonly sys: NetworkSys;
  readonly config: NetworkConfig;
  readonly state: NetworkState;
  /** Absent: no port is published on an IPv6 address. */
  readonly forwarders?: Forwarders;
  /** Kinds of networks beside bridge, host and null. */
  readonly drivers?: readonly NetworkDriver[];
  readonly clock?: Clock;
  readonly logger?: Logger;
}

export function createNetworkManager(dependencies: NetworkDependencies): NetworkManager {
  return new Manager(dependencies);
}

/** Between start and stop. */
interface Running {
  readonly host: HostNetwork;
  readonly networks: LiveNetworks;
}

class Manager implements NetworkManager {
  readonly #dependencies: NetworkDependencies;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #table = new EndpointTable();
  #running: Running | undefined;

  constructor(dependencies: NetworkDependencies) {
    this.#dependencies = dependencies;
    this.#logger = dependencies.logger ?? silentLogger;
    this.#clock = dependencies.clock ?? systemClock;
  }

  async start(known: readonly Endpoint[]): Promise<{ readonly warnings: readonly string[] }> {
    const { sys, config, state, forwarders, drivers = [] } = this.#dependencies;
    const [clock, logger] = [this.#clock, this.#logger];
    const host = new HostNetwork({ sys, config, forwarders, drivers, clock, logger, contents: () => this.#rules() });
    const networks = new LiveNetworks({ host, config, state, clock });
    const warnings = [...host.warnings];
    try {
      warnings.push(...(await networks.openAll(known)));
    } catch (error) {
      await networks.close(false);
      host[Symbol.dispose]();
      throw error;
    }
    this.#running = { host, networks };
    warnings.push(...this.#restore(known));
    warnings.push(...host.firewall.install(host.forwardingTurnedOn));
    this.#clean();
    await host.publisher.endForwardersBut((endpointId) => this.#table.get(endpointId) !== undefined);
    return { warnings };
  }

  #rules(): FirewallContents {
    return {
      networks: this.#mustRun()
        .networks.all()
        .flatMap(({ driven }) => driven.rules ?? []),
      ports: this.#table.all().flatMap(({ endpoint }) => rulesOf(endpoint, endpoint.ports)),
    };
  }

  /** Takes addresses and ports of running containers again. @returns warnings for the log */
  #restore(known: readonly Endpoint[]): string[] {
    const { host, networks } = this.#mustRun();
    return known.flatMap((endpoint) => {
      const network = networks.get(endpoint.networkId);
      if (network === undefined || this.#table.get(endpoint.endpointId) !== undefined) return [];
      const problems: string[] = [];
      for (const address of endpoint.addresses)
        try {
          network.addresses.take(address);
        } catch (error) {
          problems.push(`its address ${address.address} cannot be kept: ${messageOf(error)}`);
        }
      const { lease, warnings } = host.publisher.restore(endpoint);
      this.#table.set({ endpoint, lease: endpoint.ports.length === 0 ? undefined : lease });
      const container = `container ${endpoint.containerId.slice(0, 12)}`;
      return [...problems, ...warnings].map((problem) => `${container}: ${problem}`);
    });
  }

  #clean(): void {
    for (const network of this.#mustRun().networks.all()) network.driven.clean(this.#interfacesOf(network.info.id));
  }

  #interfacesOf(networkId: string): string[] {
    return this.#table.ofNetwork(networkId).map(({ hostInterface }) => hostInterface);
  }

  get drivers(): readonly string[] {
    return this.#mustRun().host.drivers.map(({ name }) => name);
  }

  list(): readonly NetworkInfo[] {
    return this.#dependencies.state.networks();
  }

  find(nameOrId: string): NetworkInfo | undefined {
    const all = this.list();
    const exact = all.find(({ id }) => id === nameOrId) ?? all.find(({ name }) => name === nameOrId);
    if (exact !== undefined || nameOrId === "") return exact;
    const byPrefix = all.filter(({ id }) => id.startsWith(nameOrId));
    return byPrefix.length === 1 ? byPrefix[0] : undefined;
  }

  defaultNetwork(): NetworkInfo | undefined {
    return this.list().find(({ name }) => name === this.#dependencies.config.defaultNetwork);
  }

  async create(settings: NetworkSettings): Promise<NetworkInfo> {
    return this.#mustRun().networks.create(settings);
  }

  async remove(id: string): Promise<void> {
    return this.#mustRun().networks.remove(id, (network) => this.#table.ofNetwork(network).length > 0);
  }

  endpoints(networkId: string): readonly Endpoint[] {
    return this.#table.ofNetwork(networkId);
  }

  sandbox(request: SandboxRequest): Sandbox {
    return new ContainerSandbox(() => this.#sandboxHost(), request);
  }

  #sandboxHost(): SandboxHost {
    const { host, networks } = this.#mustRun();
    const { sys, firewall, publisher } = host;
    const network = (id: string): LiveNetwork => {
      const found = networks.get(id);
      if (found === undefined) throw new EngineError("not-found", `network ${id} not found`);
      return found;
    };
    return { sys, firewall, publisher, network, table: this.#table, logger: this.#logger };
  }

  prepareLink(network: string, namespaceFd: number): PreparedLink | undefined {
    const id = this.find(network)?.id;
    const driven = this.#mustRun().networks.get(id ?? "")?.driven;
    if (id === undefined || driven?.prepareLink === undefined) return undefined;
    driven.repair(() => this.#interfacesOf(id));
    // The first interface of the namespace.
    return driven.prepareLink(namespaceFd, freeInterfaceName([]));
  }

  async reconcile(known: readonly Endpoint[]): Promise<void> {
    const { host } = this.#mustRun();
    const wanted = new Set(known.map(({ endpointId }) => endpointId));
    for (const { endpoint } of this.#table.all())
      if (!wanted.has(endpoint.endpointId))
        await this.sandbox({ containerId: endpoint.containerId, containerName: "" }).disconnect(endpoint.endpointId);
    const warnings = [...this.#restore(known), ...host.firewall.install(false)];
    this.#clean();
    for (const warning of warnings) this.#logger.warn(warning);
  }

  async stop(keepRunning: boolean): Promise<void> {
    if (this.#running === undefined) return;
    const { host, networks } = this.#running;
    host.publisher.letForwardersGo();
    const removed = !keepRunning && this.#table.size === 0;
    if (removed) host.firewall.uninstall();
    await networks.close(removed);
    this.#table.clear();
    host[Symbol.dispose]();
    this.#running = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(true);
  }

  #mustRun(): Running {
    if (this.#running === undefined)
      throw new EngineError("internal", "networks are used before their start or after their stop");
    return this.#running;
  }
}
