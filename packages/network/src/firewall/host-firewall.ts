/** The rules of this host as long as the daemon runs: restored when other programs removed them, absent when the kernel cannot have them. */
import { EngineError, messageOf, type Logger } from "@fathom/base";
import type { NetlinkSys } from "../netlink/connection.ts";
import { Firewall } from "./firewall.ts";
import type { FirewallNetwork, PublishedPort } from "./rule-elements.ts";

/** The present content of the rules. */
export interface FirewallContents {
  readonly networks: readonly FirewallNetwork[];
  readonly ports: readonly PublishedPort[];
}

export interface HostFirewallOptions {
  readonly sys: NetlinkSys;
  readonly table: string;
  readonly contents: () => FirewallContents;
  readonly logger: Logger;
}

export class HostFirewall implements Disposable {
  readonly #options: HostFirewallOptions;
  /** Absent when the kernel cannot have rules; then `#problem` has the reason. */
  #firewall: Firewall | undefined;
  #problem = "";
  /** A removal failed, so the table may have more than it should. */
  #stale = false;

  constructor(options: HostFirewallOptions) {
    this.#options = options;
  }

  /** Replaces an older table by the whole new one. Never throws. @returns warnings */
  install(forwardingTurnedOn: boolean): readonly string[] {
    this[Symbol.dispose]();
    const { sys, table, logger } = this.#options;
    let firewall: Firewall | undefined;
    try {
      firewall = new Firewall(sys, table, logger);
      const warnings = this.#write(firewall, forwardingTurnedOn);
      this.#firewall = firewall;
      return warnings;
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

  /** Restores the table when another program removed it, or when a removal from it failed. */
  repair(): void {
    const firewall = this.#firewall;
    if (firewall === undefined) return;
    const isThere = firewall.isInstalled();
    if (isThere && !this.#stale) return;
    if (!isThere)
      this.#options.logger.warn("the nf_tables table of this engine was removed by someone else and is put back");
    this.#write(firewall, false);
  }

  /** @throws unavailable with the reason when no port can be published */
  mustPublish(): void {
    if (this.#firewall === undefined)
      throw new EngineError("unavailable", `ports cannot be published: ${this.#problem}`);
  }

  addPorts(ports: readonly PublishedPort[]): void {
    this.#firewall?.addPorts(ports);
  }

  removePorts(ports: readonly PublishedPort[]): void {
    this.#removal((firewall) => firewall.removePorts(ports));
  }

  /** Another container answers from the next packet on: always exactly one answers. */
  movePorts(from: readonly PublishedPort[], to: readonly PublishedPort[]): void {
    this.#firewall?.movePorts(from, to);
  }

  addNetwork(network: FirewallNetwork): void {
    this.#firewall?.addNetwork(network);
  }

  removeNetwork(network: FirewallNetwork): void {
    this.#removal((firewall) => firewall.removeNetwork(network));
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
  }

  [Symbol.dispose](): void {
    this.#firewall?.[Symbol.dispose]();
    this.#firewall = undefined;
  }
}
