/** Stored rows of networks and endpoints, of this version or an earlier one. After an upgrade both exist, while containers run. */
import { EngineError } from "@fathom/base";
import { isObject, type JsonObject } from "@fathom/spec";
import type {
  Endpoint,
  EndpointAddress,
  Family,
  NetworkExtension,
  NetworkInfo,
  NetworkPool,
  PortBinding,
  Protocol,
} from "./contract.ts";

function unreadable(what: string, key: string): never {
  throw new EngineError("data-loss", `the row of ${what} is not readable: ${key} is missing or of another kind`);
}

function asFamily(word: string): Family | undefined {
  return word === "ipv4" || word === "ipv6" ? word : undefined;
}

/** Reads one row; `what` is its name in errors. */
class RowReader {
  readonly row: JsonObject;
  readonly #what: string;

  constructor(what: string, value: unknown) {
    this.#what = what;
    this.row = isObject(value) ? value : unreadable(what, "its object");
  }

  text(key: string): string {
    const value = this.row[key];
    return typeof value === "string" ? value : unreadable(this.#what, key);
  }

  number(key: string): number {
    const value = this.row[key];
    return typeof value === "number" ? value : unreadable(this.#what, key);
  }

  inner(key: string): RowReader {
    return new RowReader(`${this.#what}, ${key}`, this.row[key]);
  }

  list<T>(key: string, read: (entry: RowReader) => T): T[] {
    const value = this.row[key];
    if (!Array.isArray(value)) return unreadable(this.#what, key);
    return value.map((entry: unknown) => read(new RowReader(`${this.#what}, ${key}`, entry)));
  }

  texts(key: string): Record<string, string> {
    const value = this.row[key];
    if (!isObject(value)) return unreadable(this.#what, key);
    return Object.fromEntries(
      Object.entries(value).map(([name, text]) => [
        name,
        typeof text === "string" ? text : unreadable(this.#what, `${key}.${name}`),
      ]),
    );
  }

  words(key: string): string[] {
    const value = this.row[key];
    if (!Array.isArray(value)) return unreadable(this.#what, key);
    return value.map((word: unknown) => (typeof word === "string" ? word : unreadable(this.#what, key)));
  }

  family(): Family {
    return asFamily(this.text("family")) ?? unreadable(this.#what, "family");
  }

  families(key: string): Family[] {
    return this.words(key).map((word) => asFamily(word) ?? unreadable(this.#what, key));
  }

  protocol(): Protocol {
    const protocol = this.text("protocol");
    return protocol === "tcp" || protocol === "udp" || protocol === "sctp"
      ? protocol
      : unreadable(this.#what, "protocol");
  }
}

/** The only network of earlier versions that had endpoints. */
const onlyNetworkOnce = "bridge";

/** @throws data-loss */
export function readEndpoint(value: unknown): Endpoint {
  const reader = new RowReader("an endpoint", value);
  // Earlier versions: one IPv4 address, without network and priority.
  const isOld = "ipv4Address" in reader.row;
  return {
    endpointId: reader.text("endpointId"),
    networkId: reader.text("networkId"),
    networkName: isOld ? onlyNetworkOnce : reader.text("networkName"),
    containerId: reader.text("containerId"),
    interfaceName: reader.text("interfaceName"),
    hostInterface: reader.text("hostInterface"),
    macAddress: reader.text("macAddress"),
    addresses: isOld
      ? [{ family: "ipv4", address: reader.text("ipv4Address"), prefixLength: reader.number("ipv4PrefixLength") }]
      : reader.list("addresses", readAddress),
    gateways: isOld ? { ipv4: reader.text("gateway") } : reader.texts("gateways"),
    gatewayPriority: isOld ? 0 : reader.number("gatewayPriority"),
    // Earlier versions: no names.
    names: "names" in reader.row ? reader.words("names") : [],
    ...("links" in reader.row ? { links: reader.texts("links") } : {}),
    ports: reader.list("ports", readBinding),
  };
}

function readAddress(reader: RowReader): EndpointAddress {
  return { family: reader.family(), address: reader.text("address"), prefixLength: reader.number("prefixLength") };
}

function readBinding(reader: RowReader): PortBinding {
  return {
    protocol: reader.protocol(),
    containerPort: reader.number("containerPort"),
    hostIp: reader.text("hostIp"),
    hostPort: reader.number("hostPort"),
  };
}

/** @param what The name of the row in errors. @throws data-loss */
export function readNetwork(value: unknown, what = "a network"): NetworkInfo {
  const reader = new RowReader(what, value);
  const { builtin, internal } = reader.row;
  return {
    id: reader.text("id"),
    name: reader.text("name"),
    driver: reader.text("driver"),
    createdAt: reader.text("createdAt"),
    // Earlier versions only had networks of the settings, with at most one subnet.
    builtin: builtin !== false,
    internal: internal === true,
    // Earlier versions: IPv4 alone, and no extension.
    families: "families" in reader.row ? reader.families("families") : ["ipv4"],
    pools: "pools" in reader.row ? reader.list("pools", readPool) : readOldPool(reader),
    options: reader.texts("options"),
    labels: reader.texts("labels"),
    extension: "extension" in reader.row ? readExtension(reader) : {},
  };
}

function readExtension(reader: RowReader): NetworkExtension {
  const inner = reader.inner("extension");
  return {
    ...("attachable" in inner.row ? { attachable: inner.row["attachable"] === true } : {}),
    ...("ipamOptions" in inner.row ? { ipamOptions: inner.texts("ipamOptions") } : {}),
  };
}

function readPool(reader: RowReader): NetworkPool {
  return {
    family: reader.family(),
    subnet: reader.text("subnet"),
    gateway: reader.text("gateway"),
    ...("range" in reader.row ? { range: reader.text("range") } : {}),
    ...("reserved" in reader.row ? { reserved: reader.texts("reserved") } : {}),
  };
}

function readOldPool({ row: { subnet, gateway } }: RowReader): NetworkPool[] {
  return typeof subnet === "string" && typeof gateway === "string" ? [{ family: "ipv4", subnet, gateway }] : [];
}
