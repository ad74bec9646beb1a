/** The names of all networks: which addresses a name has, and which name an address has. */
import { encodeName } from "./answer.ts";
import type { NamedEndpoint } from "./contract.ts";
import { addressBytes, parseAddress } from "../ipam/prefix.ts";

/** The addresses of one name in one network. */
export interface ZoneEntry {
  readonly ipv4: readonly Uint8Array[];
  readonly ipv6: readonly Uint8Array[];
  /** Counts answers, so that each of several addresses is the first one in turn. */
  turn: number;
}

interface Holder {
  readonly endpointId: string;
  readonly ipv4: readonly Uint8Array[];
  readonly ipv6: readonly Uint8Array[];
}

class ZoneNetwork {
  readonly name: string;
  readonly entries = new Map<string, ZoneEntry & { readonly holders: readonly Holder[] }>();
  /** By the names of reverse look-ups. */
  readonly pointers = new Map<string, { readonly endpointId: string; readonly name: Uint8Array }>();
  endpoints = 0;

  constructor(name: string) {
    this.name = name;
  }

  hold(name: string, change: (holders: readonly Holder[]) => readonly Holder[]): void {
    const before = this.entries.get(name);
    const holders = change(before?.holders ?? []);
    if (holders.length === 0) this.entries.delete(name);
    else
      this.entries.set(name, {
        holders,
        ipv4: holders.flatMap(({ ipv4 }) => ipv4),
        ipv6: holders.flatMap(({ ipv6 }) => ipv6),
        turn: before?.turn ?? 0,
      });
  }
}

export class Zone {
  readonly #networks = new Map<string, ZoneNetwork>();
  readonly #endpoints = new Map<string, NamedEndpoint>();
  readonly #byContainer = new Map<string, readonly NamedEndpoint[]>();

  endpointIds(): readonly string[] {
    return [...this.#endpoints.keys()];
  }

  /** The endpoints of a container, in the order in which they came. */
  ofContainer(containerId: string): readonly NamedEndpoint[] {
    return this.#byContainer.get(containerId) ?? [];
  }

  /** Adds an endpoint, or replaces it in its place. */
  set(endpoint: NamedEndpoint): void {
    const before = this.#endpoints.get(endpoint.endpointId);
    if (before !== undefined) this.#takeOut(before);
    this.#endpoints.set(endpoint.endpointId, endpoint);
    const siblings = this.ofContainer(endpoint.containerId);
    const known = siblings.some(({ endpointId }) => endpointId === endpoint.endpointId);
    this.#byContainer.set(
      endpoint.containerId,
      known
        ? siblings.map((each) => (each.endpointId === endpoint.endpointId ? endpoint : each))
        : [...siblings, endpoint],
    );
    let network = this.#networks.get(endpoint.networkId);
    if (network === undefined) {
      network = new ZoneNetwork(wireText(endpoint.networkName));
      this.#networks.set(endpoint.networkId, network);
    }
    network.endpoints++;
    const holder = holderOf(endpoint);
    for (const name of new Set(endpoint.names.map(wireText))) network.hold(name, (holders) => [...holders, holder]);
    const [first] = endpoint.names;
    const pointer = first === undefined ? undefined : encodeName(`${first}.${endpoint.networkName}`);
    if (pointer !== undefined)
      for (const address of endpoint.addresses)
        network.pointers.set(reverseName(address), { endpointId: endpoint.endpointId, name: pointer });
  }

  delete(endpointId: string): void {
    const endpoint = this.#endpoints.get(endpointId);
    if (endpoint === undefined) return;
    this.#takeOut(endpoint);
    this.#endpoints.delete(endpointId);
    const rest = this.ofContainer(endpoint.containerId).filter((each) => each.endpointId !== endpointId);
    if (rest.length === 0) this.#byContainer.delete(endpoint.containerId);
    else this.#byContainer.set(endpoint.containerId, rest);
  }

  #takeOut({ endpointId, networkId, names, addresses }: NamedEndpoint): void {
    const network = this.#networks.get(networkId);
    if (network === undefined) return;
    for (const name of new Set(names.map(wireText)))
      network.hold(name, (holders) => holders.filter((holder) => holder.endpointId !== endpointId));
    for (const address of addresses.map(reverseName))
      if (network.pointers.get(address)?.endpointId === endpointId) network.pointers.delete(address);
    if (--network.endpoints === 0) this.#networks.delete(networkId);
  }

  /**
   * As Docker: the whole name in each network; then, for a name with dots, "NAME.NETWORK", with the shortest network name first. The first
   * network that knows the name decides.
   */
  find(endpoints: readonly NamedEndpoint[], name: string): ZoneEntry | undefined {
    const entry = this.#findIn(endpoints, name);
    if (entry !== undefined) return entry;
    for (let dot = name.lastIndexOf("."); dot > 0; dot = name.lastIndexOf(".", dot - 1))
      for (const endpoint of endpoints) {
        const network = this.#networks.get(endpoint.networkId);
        if (network?.name.length !== name.length - dot - 1 || !name.endsWith(network.name)) continue;
        const entry = this.#findIn([endpoint], name.slice(0, dot));
        if (entry !== undefined) return entry;
      }
    return undefined;
  }

  /** Links come before the names of all networks; a name that is a link in a network is not looked up as another's name there. */
  #findIn(endpoints: readonly NamedEndpoint[], name: string): ZoneEntry | undefined {
    for (const { networkId, links } of endpoints) {
      const target = links === undefined ? undefined : linkTarget(links, name);
      const entry = target === undefined ? undefined : this.#networks.get(networkId)?.entries.get(target);
      if (entry !== undefined) return entry;
    }
    for (const { networkId, links } of endpoints) {
      if (links !== undefined && linkTarget(links, name) !== undefined) continue;
      const entry = this.#networks.get(networkId)?.entries.get(name);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  /** The name of an address, ready for a PTR record. `name` is that of the reverse look-up. */
  findPointer(endpoints: readonly NamedEndpoint[], name: string): Uint8Array | undefined {
    for (const { networkId } of endpoints) {
      const pointer = this.#networks.get(networkId)?.pointers.get(name);
      if (pointer !== undefined) return pointer.name;
    }
    return undefined;
  }
}

function linkTarget(links: Readonly<Record<string, string>>, name: string): string | undefined {
  const link = Object.entries(links).find(([alias]) => wireText(alias) === name);
  return link === undefined ? undefined : wireText(link[1]);
}

function holderOf({ endpointId, addresses }: NamedEndpoint): Holder {
  const bytes = addresses.map(bytesOf);
  return {
    endpointId,
    ipv4: bytes.filter(({ length }) => length === 4),
    ipv6: bytes.filter(({ length }) => length === 16),
  };
}

/** As `Question.name`: a character for each byte, ASCII letters in lower case. */
function wireText(name: string): string {
  return Buffer.from(name)
    .toString("latin1")
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** None for text that is no address. */
function bytesOf(text: string): Uint8Array {
  const address = parseAddress(text);
  return address === undefined ? new Uint8Array() : addressBytes(address);
}

function reverseName(address: string): string {
  const bytes = bytesOf(address);
  if (bytes.length === 4) return `${bytes.toReversed().join(".")}.in-addr.arpa`;
  return `${[...Buffer.from(bytes).toString("hex")].toReversed().join(".")}.ip6.arpa`;
}
