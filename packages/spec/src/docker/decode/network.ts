/** Network parts of bodies. */
import {
  emptyEndpointSettings,
  type EndpointIpamConfig,
  type EndpointSettings,
  type Ipam,
  type IpamPool,
  type NetworkConnectRequest,
  type NetworkCreateRequest,
  type NetworkDisconnectRequest,
} from "../network.ts";
import { decodeBody, refused } from "../../decode/decoder.ts";
import { array, bool, int, map, named, nullable, optional, string, struct, type GoDecoder } from "../../decode/go.ts";
import { parseAddressPrefix } from "../../texts/address-prefix.ts";
import { address } from "./addresses.ts";

const strings = nullable(array(string));

export const endpointSettings: GoDecoder<EndpointSettings> = {
  ...struct<EndpointSettings>("network.EndpointSettings", {
    IPAMConfig: nullable(
      struct<EndpointIpamConfig>("network.EndpointIPAMConfig", {
        IPv4Address: optional(string),
        IPv6Address: optional(string),
        LinkLocalIPs: optional(array(string)),
      }),
    ),
    Links: strings,
    Aliases: strings,
    DriverOpts: nullable(map(string)),
    GwPriority: int,
    NetworkID: string,
    EndpointID: string,
    Gateway: string,
    IPAddress: string,
    MacAddress: string,
    IPPrefixLen: int,
    IPv6Gateway: string,
    GlobalIPv6Address: string,
    GlobalIPv6PrefixLen: int,
    DNSNames: strings,
  }),
  // Clients send {"net1": null} when they want no special settings.
  zero: emptyEndpointSettings,
};

/** "203.0.113.0/24"; "" means none. */
const prefix: GoDecoder<string> = named("netip.Prefix", {
  type: string.type,
  zero: "",
  decode(value, path) {
    const text = string.decode(value, path);
    if (text === "" || parseAddressPrefix(text) !== undefined) return text;
    throw refused("", `netip.ParsePrefix(${JSON.stringify(text)}): ${text.includes("/") ? "bad prefix" : "no '/'"}`);
  },
});

const ipamPool = struct<IpamPool>("network.IPAMConfig", {
  Subnet: optional(prefix),
  IPRange: optional(prefix),
  Gateway: optional(address({ optional: true })),
  AuxiliaryAddresses: optional(map(address({ optional: true }))),
});

const networkCreate = struct<NetworkCreateRequest>("network.CreateRequest", {
  Name: string,
  Driver: string,
  Scope: string,
  EnableIPv4: nullable(bool),
  EnableIPv6: nullable(bool),
  IPAM: nullable(
    struct<Ipam>("network.IPAM", {
      Driver: string,
      Options: nullable(map(string)),
      Config: nullable(array(ipamPool)),
    }),
  ),
  Internal: bool,
  Attachable: bool,
  Ingress: bool,
  ConfigOnly: bool,
  ConfigFrom: nullable(struct<{ readonly Network: string }>("network.ConfigReference", { Network: string })),
  Options: nullable(map(string)),
  Labels: nullable(map(string)),
});

/** @throws invalid-argument */
export function decodeNetworkCreate(document: unknown): NetworkCreateRequest {
  return decodeBody(networkCreate, document);
}

const networkConnect = struct<NetworkConnectRequest>("network.ConnectRequest", {
  Container: string,
  EndpointConfig: nullable(endpointSettings),
});

/** @throws invalid-argument */
export function decodeNetworkConnect(document: unknown): NetworkConnectRequest {
  return decodeBody(networkConnect, document);
}

const networkDisconnect = struct<NetworkDisconnectRequest>("network.DisconnectRequest", {
  Container: string,
  Force: bool,
});

/** @throws invalid-argument */
export function decodeNetworkDisconnect(document: unknown): NetworkDisconnectRequest {
  return decodeBody(networkDisconnect, document);
}
