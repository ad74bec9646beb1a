/** The networks of an engine: opens them at a start, and makes sandboxes for them. */
import { EngineError, messageOf, silentLogger, systemClock, type Clock, type Logger } from "@fathom/base";
import type {
  Endpoint,
  NetworkConfig,
  NetworkedContainers,
  NetworkInfo,
  NetworkManager,
  NetworkSettings,
  NetworkState,
  PreparedLink,
  Sandbox,
  SandboxRequest,
  StartedNetworks,
} from "./contract.ts";
import type { NetworkDriver } from "./driver/driver.ts";
import type { FirewallContents } from "./firewall/host-firewall.ts";
import { HostNetwork, type NetworkSys } from "./host/host-network.ts";
import type { HostMonitor } from "./host/host-monitor.ts";
import { HostRepair } from "./host/host-repair.ts";
import type { NetworkAddresses } from "./ipam/ipam.ts";
import { LiveNetworks } from "./live-networks.ts";
import type { NameService } from "./names/contract.ts";
import { SandboxNames } from "./names/sandbox-names.ts";
import type { Forwarders } from "./ports/forwarders.ts";
import { rulesOf } from "./ports/publisher.ts";
import { EndpointTable } from "./sandbox/endpoint-table.ts";
import { freeInterfaceName } from "./sandbox/gateway.ts";
import type { LiveNetwork } from "./sandbox/live-network.ts";
import type { SandboxHost } from "./sandbox/sandbox-host.ts";
import { ContainerSandbox } from "./sandbox/sandbox.ts";

export interface NetworkDependencies {
  readonly sys: NetworkSys;
  readonly config: NetworkConfig;
  readonly state: NetworkState;
  /** Absent: no port is published on an IPv6 address. */
  readonly forwarders?: Forwarders;
  /** Absent: containers do not find each other by name. */
  readonly names?: NameService;
  /** Absent: what other programs remove is put back with the next connection, not at once. */
  readonly monitor?: HostMonitor;
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
  readonly names: SandboxNames | undefined;
  readonly host: HostNetwork;
  readonly networks: LiveNetworks;
}

/** @returns what cannot be kept, for the log */
function takeAddresses(addresses: NetworkAddresses, endpoint: Endpoint): string[] {
  return endpoint.addresses.flatMap((address) => {
    try {
      addresses.take(address);
      return [];
    } catch (error) {
      return [`its address ${address.address} cannot be kept: ${messageOf(error)}`];
    }
  });
}

class Manager implements NetworkManager {
  readonly #dependencies: NetworkDependencies;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #table = new EndpointTable();
  #running: Running | undefined;
  #repair: HostRepair | undefined;

  constructor(dependencies: NetworkDependencies) {
    this.#dependencies = dependencies;
    this.#logger = dependencies.logger ?? silentLogger;
    this.#clock = dependencies.clock ?? systemClock;
  }

  async start(known: readonly Endpoint[], containers?: NetworkedContainers): Promise<StartedNetworks> {
    const { sys, config, state, forwarders, drivers = [], names: service } = this.#dependencies;
    const [clock, logger] = [this.#clock, this.#logger];
    const host = new HostNetwork({ sys, config, forwarders, drivers, clock, logger, contents: () => this.#rules() });
    const opened = ({ info, addresses }: LiveNetwork): void =>
      this.#takeAddresses(addresses, this.#table.ofNetwork(info.id));
    const networks = new LiveNetworks({ host, config, state, clock, logger, opened });
    const warnings = [...host.warnings];
    try {
      warnings.push(...(await networks.openAll(known)));
    } catch (error) {
      await networks.close(false);
      host[Symbol.dispose]();
      throw error;
    }
    const names =
      service === undefined || containers === undefined
        ? undefined
        : new SandboxNames({ service, containers, endpoints: () => this.#table.endpoints(), sys, logger });
    this.#running = { host, networks, names };
    warnings.push(...this.#restore(known));
    warnings.push(...host.firewall.install(host.forwardingTurnedOn));
    warnings.push(...((await names?.restore()) ?? []));
    const interfacesRemoved = this.#clean();
    await host.publisher.endForwardersBut((endpointId) => this.#table.get(endpointId) !== undefined);
    warnings.push(...this.#watchHost());
    return { warnings, interfacesRemoved };
  }

  /** From now on, what other programs remove is put back. @returns a warning when that is impossible */
  #watchHost(): string[] {
    const { monitor } = this.#dependencies;
    if (monitor === undefined) return [];
    const { host, networks } = this.#mustRun();
    try {
      this.#repair = new HostRepair({
        monitor,
        networks: () =>
          networks.all().map(({ info, driven }) => ({
            hostLink: driven.hostLink,
            restore: () => driven.restore?.(() => this.#interfacesOf(info.id)),
          })),
        repairRules: () => host.firewall.repair(),
        containerOf: (name) =>
          this.#table.all().find(({ endpoint }) => endpoint.hostInterface === name)?.endpoint.containerId,
        logger: this.#logger,
      });
      return [];
    } catch (error) {
      return [`what other programs remove is put back with the next connection only: ${messageOf(error)}`];
    }
  }

  #rules(): FirewallContents {
    return {
      networks: this.#mustRun().networks.rules(),
      ports: this.#table.all().flatMap(({ endpoint }) => rulesOf(endpoint, endpoint.ports)),
    };
  }

  /** Takes addresses and ports of running containers again, also in a network that is not open. @returns warnings for the log */
  #restore(known: readonly Endpoint[]): string[] {
    const { host, networks } = this.#mustRun();
    const rows = new Set(this.list().map(({ id }) => id));
    return known.flatMap((endpoint) => {
      if (!rows.has(endpoint.networkId) || this.#table.get(endpoint.endpointId) !== undefined) return [];
      const addresses = networks.get(endpoint.networkId)?.addresses;
      const problems = addresses === undefined ? [] : takeAddresses(addresses, endpoint);
      const { lease, warnings } = host.publisher.restore(endpoint);
      this.#table.set({ endpoint, lease: endpoint.ports.length === 0 ? undefined : lease });
      const container = `container ${endpoint.containerId.slice(0, 12)}`;
      return [...problems, ...warnings].map((problem) => `${container}: ${problem}`);
    });
  }

  #takeAddresses(addresses: NetworkAddresses, endpoints: readonly Endpoint[]): void {
    for (const endpoint of endpoints)
      for (const problem of takeAddresses(addresses, endpoint))
        this.#logger.warn(problem, { id: endpoint.containerId });
  }

  /** @returns whether interfaces were removed */
  #clean(): boolean {
    const all = this.#mustRun().networks.all();
    return all.map(({ info, driven }) => driven.clean(this.#interfacesOf(info.id))).includes(true);
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
    const { host, networks, names } = this.#mustRun();
    const { sys, firewall, publisher } = host;
    return { sys, firewall, publisher, networks, names, table: this.#table, logger: this.#logger };
  }

  prepareLink(network: string, namespaceFd: number): PreparedLink | undefined {
    const id = this.find(network)?.id;
    const driven = this.#mustRun().networks.get(id ?? "")?.driven;
    if (id === undefined || driven?.prepareLink === undefined) return undefined;
    driven.repair(() => this.#interfacesOf(id));
    // The first interface of the namespace.
    return driven.prepareLink(namespaceFd, freeInterfaceName([], driven.interfacePrefix));
  }

  async stop(keepRunning: boolean): Promise<void> {
    if (this.#running === undefined) return;
    const { host, networks } = this.#running;
    this.#repair?.[Symbol.dispose]();
    this.#repair = undefined;
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
