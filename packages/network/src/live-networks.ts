/** The networks of one run of the daemon: their rows, and what drivers made for them. */
import { EngineError, formatRfc3339Nano, KeyedMutex, messageOf, randomId, type Clock, type Logger } from "@fathom/base";
import type { Endpoint, NetworkConfig, NetworkInfo, NetworkSettings, NetworkState } from "./contract.ts";
import { findLink, listRoutes } from "./driver/bridge-link.ts";
import type { NetworkDriver, NetworkOrigin } from "./driver/driver.ts";
import type { FirewallNetwork } from "./firewall/rule-elements.ts";
import type { HostNetwork } from "./host/host-network.ts";
import type { ChosenPools } from "./ipam/choose-pools.ts";
import { parsePrefix, prefixesOverlap, type Prefix } from "./ipam/prefix.ts";
import { createIpam, NetworkAddresses, type Ipam } from "./ipam/ipam.ts";
import { networkOfEndpoint, networkRow } from "./network-row.ts";
import type { LiveNetwork } from "./sandbox/live-network.ts";

export interface LiveNetworksOptions {
  readonly host: HostNetwork;
  readonly config: NetworkConfig;
  readonly state: NetworkState;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A network is open that could not be opened at the start. */
  readonly opened: (network: LiveNetwork) => void;
}

/** A future network, with what is already decided about it. */
interface Plan {
  readonly driver: NetworkDriver;
  readonly row: NetworkInfo;
  readonly warnings: readonly string[];
}

/** A row that the driver cannot read has no rules. */
function rulesOf(driver: NetworkDriver | undefined, row: NetworkInfo): FirewallNetwork | undefined {
  try {
    return driver?.rules(row);
  } catch {
    return undefined;
  }
}

export class LiveNetworks {
  readonly #options: LiveNetworksOptions;
  readonly #ipam: Ipam;
  readonly #byId = new Map<string, LiveNetwork>();
  /** Networks are made and removed one after another, so that two networks never get the same name or subnet. */
  readonly #changes = new KeyedMutex();

  constructor(options: LiveNetworksOptions) {
    this.#options = options;
    this.#ipam = createIpam(options.clock);
  }

  all(): readonly LiveNetwork[] {
    return [...this.#byId.values()];
  }

  get(id: string): LiveNetwork | undefined {
    return this.#byId.get(id);
  }

  /** First the networks of the settings, then those of the rows. @throws when one of the settings cannot be made; for another there is a warning */
  async openAll(known: readonly Endpoint[]): Promise<readonly string[]> {
    const { host, config, state } = this.#options;
    const warnings = this.#keepNetworksInUse(known);
    for (const settings of config.networks) {
      const before = state.networks().find(({ name }) => name === settings.name);
      const inUse = known.some(({ networkId }) => networkId === before?.id);
      const { driver, row, warnings: told } = await this.#plan(settings, before, inUse, true);
      warnings.push(...told);
      if (JSON.stringify(before) !== JSON.stringify(row)) state.saveNetwork(row);
      await this.#open(driver, row, before === undefined ? "new" : "stored");
    }
    for (const row of state.networks()) {
      if (this.#byId.has(row.id)) continue;
      try {
        await this.#open(host.driver(row.driver), row, "stored");
      } catch (error) {
        warnings.push(`the network ${row.name} cannot be used yet: ${messageOf(error)}`);
      }
    }
    return warnings;
  }

  /**
   * A network for a new endpoint. One that could not be opened at the start is tried again.
   * @throws not-found; what the driver throws
   */
  async opened(id: string): Promise<LiveNetwork> {
    return this.#byId.get(id) ?? this.#changes.run("", () => this.#openLate(id));
  }

  async #openLate(id: string): Promise<LiveNetwork> {
    const { host, state } = this.#options;
    const before = this.#byId.get(id);
    if (before !== undefined) return before;
    const row = state.networks().find((network) => network.id === id);
    if (row === undefined) throw new EngineError("not-found", `network ${id} not found`);
    const live = await this.#open(host.driver(row.driver), row, "stored");
    this.#options.opened(live);
    return live;
  }

  /** The networks for the rules; also those that are not open, because their containers may run. */
  rules(): readonly FirewallNetwork[] {
    const { host, state } = this.#options;
    return state.networks().flatMap((row) => {
      const driver = host.drivers.find(({ name }) => name === row.driver);
      return this.#byId.get(row.id)?.driven.rules ?? rulesOf(driver, row) ?? [];
    });
  }

  async #plan(
    settings: NetworkSettings,
    before: NetworkInfo | undefined,
    inUse: boolean,
    builtin: boolean,
  ): Promise<Plan> {
    const { host, clock } = this.#options;
    const driver = host.driver(settings.driver);
    const id = before?.id ?? randomId();
    const options = driver.options(id, settings);
    const { pools, warnings } = await this.#pools(driver, settings, { id, options, before, inUse });
    const now = formatRfc3339Nano(clock.nowNs());
    return { driver, warnings, row: networkRow(settings, { id, options, pools, builtin, before, now }) };
  }

  async #pools(
    driver: NetworkDriver,
    { name, pools: wanted, families = ["ipv4"] }: NetworkSettings,
    {
      id,
      options,
      before,
      inUse,
    }: Pick<NetworkInfo, "id" | "options"> & { readonly before: NetworkInfo | undefined; readonly inUse: boolean },
  ): Promise<ChosenPools> {
    if (!driver.capabilities.endpoints) return { pools: [], warnings: [] };
    const { route } = this.#options.host;
    const own = driver.hostInterface({ id, options });
    const ownIndex = own === undefined ? undefined : findLink(route, own)?.index;
    const routed = listRoutes(route).filter(
      ({ destination, linkIndex }) => destination.bits > 0 && linkIndex !== ownIndex,
    );
    const taken = [...routed.map(({ destination }) => destination), ...this.#subnetsOfOthers(id)];
    const addressPools = [...this.#options.config.addressPools, this.#options.host.uniqueLocalPool];
    return this.#ipam.choose({ name, families, wanted, before: before?.pools ?? [], inUse, addressPools, taken });
  }

  #subnetsOfOthers(id: string): Prefix[] {
    const others = this.#options.state.networks().filter((network) => network.id !== id);
    return others.flatMap(({ pools }) => pools.flatMap(({ subnet }) => parsePrefix(subnet)?.prefix ?? []));
  }

  async #open(driver: NetworkDriver, info: NetworkInfo, origin: NetworkOrigin): Promise<LiveNetwork> {
    const { capabilities } = driver;
    const addresses = await NetworkAddresses.open(this.#ipam, info);
    const live = { info, capabilities, addresses, driven: await driver.open(info, origin), changing: 0 };
    this.#byId.set(info.id, live);
    return live;
  }

  /**
   * Containers that run in a network without a row keep that network: another one would give out their addresses again, and treat their links
   * as leftovers.
   */
  #keepNetworksInUse(known: readonly Endpoint[]): string[] {
    const { config, state, clock } = this.#options;
    const rows = state.networks();
    return config.networks.flatMap(({ name, driver }) => {
      const row = rows.find((candidate) => candidate.name === name);
      if (known.some(({ networkId }) => networkId === row?.id)) return [];
      const lost = known.find(
        ({ networkId, networkName }) => networkName === name && rows.every(({ id }) => id !== networkId),
      );
      const found = lost === undefined ? undefined : networkOfEndpoint(lost, driver, formatRfc3339Nano(clock.nowNs()));
      if (found === undefined) return [];
      if (row !== undefined) state.removeNetwork(row.id);
      state.saveNetwork(found);
      return [
        `the network ${name} ${found.id} was not in the database and was added from the containers that run in it`,
      ];
    });
  }

  create(settings: NetworkSettings): Promise<NetworkInfo> {
    return this.#changes.run("", () => this.#create(settings));
  }

  async #create(settings: NetworkSettings): Promise<NetworkInfo> {
    const { host, state } = this.#options;
    if (state.networks().some(({ name }) => name === settings.name))
      throw new EngineError("conflict", `network with name ${settings.name} already exists`);
    const taken = this.#subnetsOfOthers("");
    for (const { subnet: text } of settings.pools) {
      const subnet = parsePrefix(text)?.prefix;
      if (subnet === undefined || settings.families?.includes(subnet.family) === false) continue;
      if (taken.some((other) => prefixesOverlap(other, subnet)))
        throw new EngineError("forbidden", "invalid pool request: Pool overlaps with other one on this address space");
      taken.push(subnet);
    }
    const { driver, row } = await this.#plan(settings, undefined, false, false);
    await using undo = new AsyncDisposableStack();
    this.#onFailure(undo, row, () => this.#ipam.release(row.pools));
    this.#mustBeItsOwn(driver, row);
    host.firewall.repair();
    const { driven } = await this.#open(driver, row, "new");
    this.#onFailure(undo, row, async () => {
      this.#byId.delete(row.id);
      await driven.remove();
      driven[Symbol.dispose]();
    });
    const { rules } = driven;
    if (rules !== undefined) {
      host.firewall.addNetwork(rules);
      this.#onFailure(undo, row, async () => host.firewall.removeNetwork(rules));
    }
    state.saveNetwork(row);
    undo.move();
    return row;
  }

  /** Two networks on one interface would remove each other's addresses, and the removal of one network would remove the interface of the other. */
  #mustBeItsOwn(driver: NetworkDriver, row: NetworkInfo): void {
    const own = driver.capabilities.ownsInterface ? driver.hostInterface(row) : undefined;
    if (own === undefined) return;
    const { host, state } = this.#options;
    const other = state.networks().find((network) => {
      const other = host.drivers.find(({ name }) => name === network.driver);
      return other?.capabilities.ownsInterface === true && other.hostInterface(network) === own;
    });
    if (other !== undefined)
      throw new EngineError(
        "forbidden",
        `cannot create network ${row.id} (${own}): conflicts with network ${other.id} (${own}): networks have same bridge name`,
      );
  }

  /** @param hasEndpoints Whether containers are connected to it */
  remove(id: string, hasEndpoints: (id: string) => boolean): Promise<void> {
    return this.#changes.run("", () => this.#remove(id, hasEndpoints));
  }

  async #remove(id: string, hasEndpoints: (id: string) => boolean): Promise<void> {
    const { host, state } = this.#options;
    const row = state.networks().find((network) => network.id === id);
    if (row === undefined) throw new EngineError("not-found", `network ${id} not found`);
    if (row.builtin) throw new EngineError("forbidden", `${row.name} is a pre-defined network and cannot be removed`);
    if (hasEndpoints(id)) throw new EngineError("conflict", `network ${row.name} has active endpoints`);
    // A network that cannot be opened has nothing on this host but its rules, as far as anybody can know.
    const live = this.#byId.get(id) ?? (await this.#openLate(id).catch(() => undefined));
    if (live !== undefined && live.changing > 0)
      throw new EngineError("conflict", `network ${row.name} has active endpoints`);
    if (live !== undefined) {
      host.firewall.repair();
      // From here on nobody can connect to it; when a step fails, it is available again.
      this.#byId.delete(id);
      await using undo = new AsyncDisposableStack();
      this.#onFailure(undo, row, async () => void this.#byId.set(id, live));
      const { rules } = live.driven;
      if (rules !== undefined) {
        host.firewall.removeNetwork(rules);
        this.#onFailure(undo, row, async () => host.firewall.addNetwork(rules));
      }
      await live.driven.remove();
      live.driven[Symbol.dispose]();
      undo.move();
    } else {
      const rules = rulesOf(
        host.drivers.find(({ name }) => name === row.driver),
        row,
      );
      if (rules !== undefined) host.firewall.removeNetwork(rules);
    }
    await this.#ipam.release(row.pools);
    state.removeNetwork(id);
  }

  /** The first error is the one to report. */
  #onFailure(undo: AsyncDisposableStack, { id, name }: NetworkInfo, action: () => Promise<unknown>): void {
    undo.defer(() =>
      action().then(
        () => undefined,
        (error: unknown) =>
          this.#options.logger.warn("undoing a change of a network failed", { error: messageOf(error), id, name }),
      ),
    );
  }

  /** Networks stay on the host; with `removed` they are removed from it. */
  async close(removed: boolean): Promise<void> {
    for (const { driven } of this.all()) driven[Symbol.dispose]();
    if (removed) for (const { driven } of this.all()) await driven.remove();
    this.#byId.clear();
  }
}
