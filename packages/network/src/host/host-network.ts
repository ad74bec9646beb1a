/** Shared by all networks of this host: the netlink socket, the rules, published ports, forwarding, and the drivers that use them. */
import { EngineError, type Clock, type Logger } from "@fathom/base";
import { NETLINK_ROUTE, type Sys } from "@fathom/sys";
import type { AddressPoolSettings, NetworkConfig } from "../contract.ts";
import { listLinks } from "../driver/bridge-link.ts";
import { createBridgeDriver } from "../driver/bridge.ts";
import type { NetworkDriver } from "../driver/driver.ts";
import { createMacvlanDriver } from "../driver/macvlan.ts";
import { createNamespaceDriver } from "../driver/namespace-drivers.ts";
import { HostFirewall, type FirewallContents } from "../firewall/host-firewall.ts";
import { NetlinkConnection } from "../netlink/connection.ts";
import { ForwarderKeeper } from "../ports/forwarder-keeper.ts";
import type { Forwarders } from "../ports/forwarders.ts";
import { PortAllocator } from "../ports/port-allocator.ts";
import { PortPublisher } from "../ports/publisher.ts";
import { createReserver } from "../ports/reserver.ts";
import { ephemeralRange, hasIpv6, setForwarding, setIpv6Forwarding, uniqueLocalPrefix } from "./host-settings.ts";

export type NetworkSys = Pick<
  Sys,
  | "openNetlink"
  | "netlinkTransact"
  | "withNetworkNamespace"
  | "reservePort"
  | "listenPort"
  | "open"
  | "read"
  | "write"
  | "close"
>;

export interface HostNetworkOptions {
  readonly sys: NetworkSys;
  readonly config: Pick<NetworkConfig, "ipForward" | "userlandProxy" | "ruleTable">;
  readonly forwarders: Forwarders | undefined;
  /** Additional drivers, beside those of this package. */
  readonly drivers: readonly NetworkDriver[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** The content of the rules. */
  readonly contents: () => FirewallContents;
}

export class HostNetwork implements Disposable {
  readonly sys: NetworkSys;
  readonly route: NetlinkConnection;
  readonly firewall: HostFirewall;
  readonly publisher: PortPublisher;
  /** The engine itself has just turned on IP forwarding. */
  readonly forwardingTurnedOn: boolean;
  /** Warnings of the set-up, for the log. */
  readonly warnings: readonly string[];
  readonly drivers: readonly NetworkDriver[];
  /** IPv6 subnets of networks that nobody chose. */
  readonly uniqueLocalPool: AddressPoolSettings;

  constructor({ sys, config, forwarders, drivers, clock, logger, contents }: HostNetworkOptions) {
    const forwarding = setForwarding(sys, config.ipForward);
    this.sys = sys;
    this.uniqueLocalPool = { base: uniqueLocalPrefix(sys), size: 64 };
    this.forwardingTurnedOn = forwarding.turnedOn;
    this.warnings = forwarding.warnings;
    this.route = new NetlinkConnection(sys, NETLINK_ROUTE);
    const forwardIpv6 = (): boolean => this.#forwardIpv6(config.ipForward, logger);
    this.firewall = new HostFirewall({ sys, table: config.ruleTable, contents, forwardIpv6, logger });
    const ipv6 = forwarders !== undefined && config.userlandProxy && hasIpv6(sys);
    this.publisher = new PortPublisher({
      ports: new PortAllocator(createReserver(sys, ipv6), () => ephemeralRange(sys)),
      firewall: this.firewall,
      forwarders,
      keeper: forwarders === undefined ? undefined : new ForwarderKeeper(forwarders, clock, logger),
      logger,
    });
    this.drivers = [
      createBridgeDriver({ sys, route: this.route, logger }),
      createNamespaceDriver("host"),
      createMacvlanDriver({ sys, route: this.route }),
      createNamespaceDriver("null"),
      ...drivers,
    ];
  }

  /** @throws invalid-argument for an unknown driver */
  driver(name: string): NetworkDriver {
    const driver = this.drivers.find((candidate) => candidate.name === name);
    if (driver === undefined)
      throw new EngineError("invalid-argument", `there is no network driver ${JSON.stringify(name)}`);
    return driver;
  }

  #forwardIpv6(allowed: boolean, logger: Logger): boolean {
    const names = listLinks(this.route).map(({ name }) => name);
    const { turnedOn, warnings } = setIpv6Forwarding(this.sys, allowed, names);
    for (const warning of warnings) logger.warn(warning);
    return turnedOn;
  }

  [Symbol.dispose](): void {
    this.firewall[Symbol.dispose]();
    this.route.close();
  }
}
