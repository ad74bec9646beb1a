/** Network parts of bodies. */
import { emptyEndpointSettings, type EndpointIpamConfig, type EndpointSettings } from "../network.ts";
import { array, int, map, nullable, optional, string, struct, type GoDecoder } from "../../decode/go.ts";

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
