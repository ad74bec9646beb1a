/** Networks, and a container's endpoints in them. */
import type { StringMap } from "./container-config.ts";

export interface EndpointIpamConfig {
  readonly IPv4Address?: string;
  readonly IPv6Address?: string;
  readonly LinkLocalIPs?: readonly string[] | null;
}

export interface EndpointSettings {
  readonly IPAMConfig: EndpointIpamConfig | null;
  readonly Links: readonly string[] | null;
  readonly Aliases: readonly string[] | null;
  readonly DriverOpts: StringMap | null;
  readonly GwPriority: number;
  readonly NetworkID: string;
  readonly EndpointID: string;
  readonly Gateway: string;
  readonly IPAddress: string;
  readonly MacAddress: string;
  readonly IPPrefixLen: number;
  readonly IPv6Gateway: string;
  readonly GlobalIPv6Address: string;
  readonly GlobalIPv6PrefixLen: number;
  readonly DNSNames: readonly string[] | null;
}

/** The body that a client sends. */
export type EndpointSettingsBody = Partial<EndpointSettings>;

export const emptyEndpointSettings: EndpointSettings = Object.freeze({
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  DriverOpts: null,
  GwPriority: 0,
  NetworkID: "",
  EndpointID: "",
  Gateway: "",
  IPAddress: "",
  MacAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
});

export interface IpamPool {
  readonly Subnet?: string;
  readonly IPRange?: string;
  readonly Gateway?: string;
  readonly AuxiliaryAddresses?: StringMap;
}

export interface Ipam {
  readonly Driver: string;
  readonly Options: StringMap | null;
  readonly Config: readonly IpamPool[] | null;
}

export interface NetworkContainer {
  readonly Name: string;
  readonly EndpointID: string;
  readonly MacAddress: string;
  /** With the prefix length. */
  readonly IPv4Address: string;
  readonly IPv6Address: string;
}

export interface NetworkInspect {
  readonly Name: string;
  readonly Id: string;
  readonly Created: string;
  readonly Scope: string;
  readonly Driver: string;
  readonly EnableIPv4: boolean;
  readonly EnableIPv6: boolean;
  readonly IPAM: Ipam;
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly Ingress: boolean;
  readonly ConfigFrom: { readonly Network: string };
  readonly ConfigOnly: boolean;
  /** By container id. */
  readonly Containers: Readonly<Record<string, NetworkContainer>>;
  readonly Options: StringMap | null;
  readonly Labels: StringMap | null;
}

export interface NetworkCreateRequest {
  readonly Name: string;
  readonly Driver: string;
  readonly Scope: string;
  /** null: IPv4 is on. */
  readonly EnableIPv4: boolean | null;
  /** null: IPv6 is off. */
  readonly EnableIPv6: boolean | null;
  readonly IPAM: Ipam | null;
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly Ingress: boolean;
  readonly ConfigOnly: boolean;
  readonly ConfigFrom: { readonly Network: string } | null;
  readonly Options: StringMap | null;
  readonly Labels: StringMap | null;
}

export interface NetworkCreateResponse {
  readonly Id: string;
  readonly Warning: string;
}

export interface NetworkConnectRequest {
  readonly Container: string;
  readonly EndpointConfig: EndpointSettings | null;
}

export interface NetworkDisconnectRequest {
  readonly Container: string;
  readonly Force: boolean;
}

export interface NetworkPruneReport {
  readonly NetworksDeleted: readonly string[] | null;
}
