/** The rules of this host as long as the daemon runs: restored when other programs removed them, absent when the kernel cannot have them. */
import { EngineError, messageOf, type Logger } from "@fathom/base";
import type { NetlinkSys } from "../netlink/connection.ts";
import { Firewall } from "./firewall.ts";
import { concernsIpv6, type FirewallNetwork, type OpenPort } from "./rule-elements.ts";

/** The present content of the rules. */
export interface FirewallContents {
  readonly networks: readonly FirewallNetwork[];
  readonly ports: readonly OpenPort[];
}

export interface HostFirewallOptions {
  readonly sys: NetlinkSys;
  readonly table: string;
  readonly contents: () => FirewallContents;
  /** Turns on forwarding of IPv6, before the first network with it. @returns whether it was off */
  readonly forwardIpv6: () => boolean;
  readonly logger: Logger;
}

export class HostFirewall implements Disposable {
  readonly #options: HostFirewallOptions;
  /** Absent when the kernel cannot have rules; then `#problem` has the reason. */
  #firewall: Firewall | undefined;
  /** Present while a network has IPv6. */
  #ipv6: Firewall | undefined;
  #problem = "";
  /** A removal failed, so the tables may have more than they should. */
  #stale = false;

  constructor(options: HostFirewallOptions) {
    this.#options = options;
  }

  /** Replaces older tables by the whole new ones. Never throws. @returns warnings */
  install(forwardingTurnedOn: boolean): readonly string[] {
    this[Symbol.dispose]();
    const { sys, table, logger } = this.#options;
    let firewall: Firewall | undefined;
    try {
      firewall = new Firewall(sys, table, logger);
      const warnings = this.#write(firewall, forwardingTurnedOn);
      this.#firewall = firewall;
      return [...warnings, ...this.#installIpv6()];
    } catch (error) {
      firewall?.[Symbol.dispose]();
      this.#problem = messageOf(error);
      return [
        `no firewall rules: containers reach nothing outside and no port can be published (nf_tables with nat, masq, ct and fib is needed: ${this.#problem})`,
      ];
    }
  }

  #write(firewall: Firewall, forwardingTurnedOn: boolean): readonly string[] {
    const { networks, ports } = this.#options.contents();
    const { warnings } = firewall.install(networks, ports, forwardingTurnedOn);
    this.#stale = false;
    return warnings;
  }

  /** The table of IPv6 when a network needs it; else one that an earlier daemon left is removed. @returns warnings */
  #installIpv6(): readonly string[] {
    const networks = this.#options.contents().networks.filter(hasIpv6);
    try {
      if (networks.length > 0) return this.#writeIpv6(networks);
      using older = this.#openIpv6();
      older.uninstall();
      return [];
    } catch (error) {
      // Without a network that has IPv6, the kernel may not have its rules.
      if (networks.length === 0) return [];
      return [
        `no firewall rules for IPv6: containers reach nothing outside with it, and networks are not separated (nf_tables with masq and ct for IPv6 is needed: ${messageOf(error)})`,
      ];
    }
  }

  #openIpv6(): Firewall {
    const { sys, table, logger } = this.#options;
    return new Firewall(sys, table, logger, "ipv6");
  }

  #writeIpv6(networks: readonly FirewallNetwork[]): readonly string[] {
    const firewall = this.#ipv6 ?? this.#openIpv6();
    try {
      const { ports } = this.#options.contents();
      const { warnings } = firewall.install(networks, ports, this.#options.forwardIpv6());
      this.#ipv6 = firewall;
      return warnings;
    } catch (error) {
      if (firewall !== this.#ipv6) firewall[Symbol.dispose]();
      throw error;
    }
  }

  /** Restores the tables when another program removed them, or when a removal from them failed. */
  repair(): void {
    const firewall = this.#firewall;
    if (firewall === undefined) return;
    const isThere = firewall.isInstalled() && this.#ipv6?.isInstalled() !== false;
    if (isThere && !this.#stale) return;
    if (!isThere)
      this.#options.logger.warn("the nf_tables table of this engine was removed by someone else and is put back");
    this.#write(firewall, false);
    if (this.#ipv6 !== undefined) this.#writeIpv6(this.#options.contents().networks.filter(hasIpv6));
  }

  /** @throws unavailable with the reason when no port can be published */
  mustPublish(): void {
    if (this.#firewall === undefined)
      throw new EngineError("unavailable", `ports cannot be published: ${this.#problem}`);
  }

  /** After a failure none of them is open. */
  addPorts(ports: readonly OpenPort[]): void {
    this.#inBoth(
      (firewall) => firewall.addPorts(ports),
      (firewall) => firewall.removePorts(ports),
      ports.some(concernsIpv6),
    );
  }

  removePorts(ports: readonly OpenPort[]): void {
    this.#removal((firewall) => firewall.removePorts(ports));
    if (ports.some(concernsIpv6)) this.#removal(() => this.#ipv6?.removePorts(ports));
  }

  /** Another container answers from the next packet on: always exactly one answers. */
  movePorts(from: readonly OpenPort[], to: readonly OpenPort[]): void {
    this.#inBoth(
      (firewall) => firewall.movePorts(from, to),
      (firewall) => firewall.movePorts(to, from),
      [...from, ...to].some(concernsIpv6),
    );
  }

  /** A change of the table of IPv4, and perhaps of that of IPv6. If the second one fails, the first one is undone. */
  #inBoth(change: (firewall: Firewall) => void, undo: (firewall: Firewall) => void, ipv6: boolean): void {
    const firewall = this.#firewall;
    if (firewall === undefined) return;
    change(firewall);
    if (!ipv6 || this.#ipv6 === undefined) return;
    try {
      change(this.#ipv6);
    } catch (error) {
      this.#undo(() => undo(firewall));
      throw error;
    }
  }

  /** The first error is the one to report; the next repair writes the tables again. */
  #undo(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#stale = true;
      this.#options.logger.warn("undoing a change of the rules failed", { error: messageOf(error) });
    }
  }

  /** After a failure the network has no rules. */
  addNetwork(network: FirewallNetwork): void {
    const firewall = this.#firewall;
    if (firewall === undefined) return;
    firewall.addNetwork(network);
    if (!hasIpv6(network)) return;
    try {
      if (this.#ipv6 !== undefined) this.#ipv6.addNetwork(network);
      else this.#writeIpv6([...this.#options.contents().networks.filter(hasIpv6), network]);
    } catch (error) {
      this.#undo(() => firewall.removeNetwork(network));
      throw error;
    }
  }

  removeNetwork(network: FirewallNetwork): void {
    this.#removal((firewall) => firewall.removeNetwork(network));
    if (hasIpv6(network) && this.#ipv6 !== undefined) this.#removal(() => this.#removeFromIpv6(network));
  }

  #removeFromIpv6(network: FirewallNetwork): void {
    const others = this.#options.contents().networks.filter(({ bridge }) => bridge !== network.bridge);
    if (others.some(hasIpv6)) return this.#ipv6?.removeNetwork(network);
    this.#ipv6?.uninstall();
    this.#ipv6?.[Symbol.dispose]();
    this.#ipv6 = undefined;
  }

  #removal(action: (firewall: Firewall) => void): void {
    if (this.#firewall === undefined) return;
    try {
      action(this.#firewall);
    } catch (error) {
      this.#stale = true;
      throw error;
    }
  }

  uninstall(): void {
    this.#firewall?.uninstall();
    this.#ipv6?.uninstall();
  }

  [Symbol.dispose](): void {
    this.#firewall?.[Symbol.dispose]();
    this.#firewall = undefined;
    this.#ipv6?.[Symbol.dispose]();
    this.#ipv6 = undefined;
  }
}

function hasIpv6({ families }: FirewallNetwork): boolean {
  return families.ipv6 !== undefined;
}
