/** The rule set in the kernel: made completely at start, then changed by elements. */
import { type Logger, messageOf } from "@fathom/base";
import type { Family } from "../contract.ts";
import { NetlinkConnection, NetlinkError, type NetlinkRequest, type NetlinkSys } from "../netlink/connection.ts";
import { forgetFlows, type FlowFilter } from "../netlink/conntrack.ts";
import {
  batchBegin,
  batchEnd,
  decodeHookedChains,
  deleteTable,
  dumpChains,
  getTable,
  hooks,
  type TableReference,
} from "../netlink/nftables.ts";
import {
  isPublished,
  networkElements,
  portElements,
  ruleTable,
  type FirewallNetwork,
  type OpenPort,
  type PublishedPort,
} from "./rule-elements.ts";
import { guardChainName, wholeTable } from "./ruleset.ts";
import { NETLINK_NETFILTER } from "@fathom/sys";

export class Firewall implements Disposable {
  readonly #connection: NetlinkConnection;
  readonly #table: TableReference;
  readonly #logger: Logger;
  #guarded = false;

  constructor(sys: NetlinkSys, table: string, logger: Logger, family: Family = "ipv4") {
    this.#connection = new NetlinkConnection(sys, NETLINK_NETFILTER);
    this.#table = ruleTable(table, family);
    this.#logger = logger;
  }

  /**
   * Replaces an older table by the whole new one, in one step.
   * @param forwardingTurnedOn The engine itself has just turned on IP forwarding for the whole host.
   * @returns warnings for the log: chains of other programs that drop forwarded packets.
   */
  install(
    networks: readonly FirewallNetwork[],
    ports: readonly OpenPort[],
    forwardingTurnedOn: boolean,
  ): { readonly warnings: readonly string[] } {
    const chains = decodeHookedChains(this.#connection.send([dumpChains(this.#table.family)]));
    // An earlier start of this engine turned forwarding on, so its guard stays.
    this.#guarded ||=
      forwardingTurnedOn || chains.some((chain) => chain.table === this.#table.name && chain.name === guardChainName);
    this.#apply(wholeTable(this.#table, networks, ports, this.#guarded));
    return {
      warnings: chains
        .filter((chain) => chain.hook === hooks.forward && chain.policy === "drop")
        .map(
          (chain) =>
            `chain ${chain.name} of table ${chain.table} drops forwarded packets by default: allow the bridges of this engine there, ` +
            `or containers reach nothing outside and published ports answer on this host alone`,
        ),
    };
  }

  /** False when another program removed our table ("nft flush ruleset", a reload of a firewall manager). */
  isInstalled(): boolean {
    try {
      this.#connection.send([getTable(this.#table)]);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  addPorts(ports: readonly OpenPort[]): void {
    if (ports.length === 0) return;
    this.#apply(portElements(this.#table, ports, true));
    // A client that already sends reaches the port with its next packet.
    this.#forgetFlows(publishedUdp(ports).map((port) => ({ kind: "to-port", port: port.hostPort })));
  }

  /** Without this, packets go to the wrong place for a while; that is no reason to fail. */
  #forgetFlows(filters: readonly FlowFilter[]): void {
    try {
      forgetFlows(this.#connection, filters);
    } catch (error) {
      this.#logger.warn("tracked UDP flows could not be removed", { error: messageOf(error) });
    }
  }

  /** Elements that are already removed are no error. */
  removePorts(ports: readonly OpenPort[]): void {
    if (ports.length === 0) return;
    this.#removeElements(ports);
    const udp = new Set(publishedUdp(ports).map((port) => port.containerAddress));
    this.#forgetFlows([...udp].map((address) => ({ kind: "from-container", address })));
  }

  #removeElements(ports: readonly OpenPort[]): void {
    try {
      this.#apply(portElements(this.#table, ports, false));
    } catch (error) {
      if (!isMissing(error)) throw error;
      // One missing element made the whole batch fail: now one by one.
      for (const request of ports.flatMap((port) => portElements(this.#table, [port], false))) {
        try {
          this.#apply([request]);
        } catch (single) {
          if (!isMissing(single))
            this.#logger.warn("published port could not be removed", { error: messageOf(single) });
        }
      }
    }
  }

  /** In one step. `from` and `to` are the same ports of the host, for different containers. */
  movePorts(from: readonly OpenPort[], to: readonly OpenPort[]): void {
    if (from.length + to.length === 0) return;
    this.#apply([...portElements(this.#table, from, false), ...portElements(this.#table, to, true)]);
    const udp = publishedUdp(from);
    this.#forgetFlows(
      [...new Set(udp.map((port) => port.containerAddress))].map((address) => ({ kind: "from-container", address })),
    );
    this.#forgetFlows(udp.map((port) => ({ kind: "to-port", port: port.hostPort })));
  }

  addNetwork(network: FirewallNetwork): void {
    this.#apply(networkElements(this.#table, [network], true));
  }

  removeNetwork(network: FirewallNetwork): void {
    this.#apply(networkElements(this.#table, [network], false));
  }

  /** Removes the table. */
  uninstall(): void {
    try {
      this.#apply([deleteTable(this.#table)]);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  #apply(requests: readonly NetlinkRequest[]): void {
    if (requests.length === 0) return;
    this.#connection.sendBatch(batchBegin, requests, batchEnd);
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}

function publishedUdp(ports: readonly OpenPort[]): PublishedPort[] {
  return ports.flatMap((port) => (isPublished(port) && port.protocol === "udp" ? [port] : []));
}

function isMissing(error: unknown): boolean {
  return error instanceof NetlinkError && error.errnoName === "ENOENT";
}
