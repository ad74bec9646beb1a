/**
 * Networks whose containers are at an interface of the host (the parent) with MAC addresses of their own: neighbours see them like machines on
 * the same segment. The host itself does not reach them; the kernel's rules of this engine do not concern them, and no port is published.
 * A network without a parent gets one that leads nowhere, so its containers reach only each other.
 */
import { EngineError } from "@fathom/base";
import { NETLINK_ROUTE } from "@fathom/sys";
import type { NetworkInfo, NetworkSettings } from "../contract.ts";
import { macOf } from "../ipam/ip.ts";
import { parseAddress } from "../ipam/prefix.ts";
import { NetlinkConnection, type NetlinkSys } from "../netlink/connection.ts";
import type { Link } from "../netlink/route-decode.ts";
import { changeLink, createLoop, createMacvlan, deleteLink, macvlanModes, type MacvlanMode } from "../netlink/link.ts";
import { findLink } from "./bridge-link.ts";
import type { DriverNetwork, EndpointDraft, JoinedLink, JoinRequest, LeftNamespace, NetworkDriver } from "./driver.ts";

/** The manager's objects that every network of the driver uses. */
export interface MacvlanHost {
  readonly sys: NetlinkSys;
  readonly route: NetlinkConnection;
}

/** Docker's option names. */
const optionNames = { parent: "parent", mode: "macvlan_mode" } as const;

interface MacvlanOptions {
  /** undefined: the network makes one for itself. */
  readonly parent: string | undefined;
  readonly mode: MacvlanMode;
}

/** @throws invalid-argument in dockerd's words */
function readOptions(options: Readonly<Record<string, string>>): MacvlanOptions {
  const parent = options[optionNames.parent] || undefined;
  if (parent === "lo")
    throw new EngineError("invalid-argument", "loopback interface is not a valid macvlan parent link");
  const asked = options[optionNames.mode] || "bridge";
  const mode = macvlanModes.find((known) => known === asked);
  if (mode === undefined)
    throw new EngineError(
      "invalid-argument",
      `requested macvlan mode '${asked}' is not valid, 'bridge' mode is the macvlan driver default`,
    );
  return { parent, mode };
}

/** The name of a parent that belongs to the network: the network's id is random, so nobody else has it. */
function ownParent(id: string): string {
  return `dm-${id.slice(0, 12)}`;
}

export function createMacvlanDriver(host: MacvlanHost): NetworkDriver {
  return {
    name: "macvlan",
    capabilities: { endpoints: true, ownsInterface: false },
    options: (_id: string, { options }: NetworkSettings) => {
      readOptions(options);
      return options;
    },
    hostInterface: ({ id, options }) => readOptions(options).parent ?? ownParent(id),
    rules: () => undefined,
    open: async (network) => new MacvlanNetwork(host, network, readOptions(network.options)),
  };
}

class MacvlanNetwork implements DriverNetwork {
  readonly rules = undefined;
  readonly publishing = undefined;
  readonly #host: MacvlanHost;
  readonly #options: MacvlanOptions;
  readonly #parent: string;

  /** @throws not-found when the parent does not exist */
  constructor(host: MacvlanHost, { id }: NetworkInfo, options: MacvlanOptions) {
    this.#host = host;
    this.#options = options;
    this.#parent = options.parent ?? ownParent(id);
    this.#ensureParent();
  }

  #ensureParent(): Link {
    const { route } = this.#host;
    const found = findLink(route, this.#parent);
    if (found !== undefined) return found;
    if (this.#options.parent !== undefined)
      throw new EngineError("not-found", `the parent interface ${this.#parent} does not exist`);
    const peer = this.#parent.replace(/^dm/, "dp");
    route.send([createLoop(this.#parent, peer)]);
    try {
      // Neither gets an address of its own.
      route.send([this.#parent, peer].map((name) => changeLink(name, { up: true, noIpv6LinkLocal: true })));
      return findLink(route, this.#parent)!;
    } catch (error) {
      route.send([deleteLink(this.#parent)], ["ENODEV"]);
      throw error;
    }
  }

  repair(): void {
    this.#ensureParent();
  }

  async createEndpoint({ addresses }: EndpointDraft): Promise<{ readonly macAddress: Uint8Array | undefined }> {
    const [address] = addresses.flatMap(({ address: text }) => parseAddress(text) ?? []);
    // In this mode the interface has the MAC address of the parent.
    const macAddress = this.#options.mode === "passthru" || address === undefined ? undefined : macOf(address);
    return { macAddress };
  }

  async join({ namespaceFd, interfaceName }: JoinRequest): Promise<JoinedLink> {
    const { sys, route } = this.#host;
    const parent = this.#ensureParent();
    using inside = new NetlinkConnection(sys, NETLINK_ROUTE, namespaceFd);
    const { mode } = this.#options;
    route.send([createMacvlan({ name: interfaceName, parentIndex: parent.index, mode, namespaceFd })]);
    try {
      const link = findLink(inside, interfaceName);
      if (link === undefined)
        throw new EngineError("internal", `interface ${interfaceName} disappeared while it was set up`);
      // Nothing is behind a parent of the network's own.
      const gateways = this.#options.parent === undefined ? { gateways: {} } : {};
      return { index: link.index, hostInterface: "", ...gateways };
    } catch (error) {
      inside.send([deleteLink(interfaceName)], ["ENODEV"]);
      throw error;
    }
  }

  /** An interface without an end on the host: it ends with its namespace, or is deleted there. */
  async leave({ interfaceName }: { readonly interfaceName: string }, namespace: LeftNamespace): Promise<void> {
    if (namespace.kind === "ends" || namespace.fd === undefined) return;
    using inside = new NetlinkConnection(this.#host.sys, NETLINK_ROUTE, namespace.fd);
    inside.send([deleteLink(interfaceName)], ["ENODEV"]);
  }

  /** An endpoint consists only of its link. */
  async deleteEndpoint(): Promise<void> {}

  clean(): boolean {
    return false;
  }

  async remove(): Promise<void> {
    if (this.#options.parent === undefined) this.#host.route.send([deleteLink(this.#parent)], ["ENODEV"]);
  }

  [Symbol.dispose](): void {}
}
