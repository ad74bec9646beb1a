/** Network parts of bodies. */
import { emptyEndpointSettings, type EndpointIpamConfig, type EndpointSettings } from "../network.ts";
import { integer, optional, type Decoder } from "../../decode/decoder.ts";
import { array, map, nullable, string, struct } from "../../decode/go.ts";

const strings = nullable(array(string));

export const endpointSettings: Decoder<EndpointSettings> = {
  ...struct<EndpointSettings>({
    IPAMConfig: nullable(
      struct<EndpointIpamConfig>({
        IPv4Address: optional(string),
        IPv6Address: optional(string),
        LinkLocalIPs: optional(array(string)),
      }),
    ),
    Links: strings,
    Aliases: strings,
    DriverOpts: nullable(map(string)),
    GwPriority: integer,
    NetworkID: string,
    EndpointID: string,
    Gateway: string,
    IPAddress: string,
    MacAddress: string,
    IPPrefixLen: integer,
    IPv6Gateway: string,
    GlobalIPv6Address: string,
    GlobalIPv6PrefixLen: integer,
    DNSNames: strings,
  }),
  // Clients send {"net1": null} when they want no special settings.
  zero: emptyEndpointSettings,
};
