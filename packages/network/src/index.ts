export * from "./contract.ts";
export { checkEndpointSettings, checkMacAddress } from "./default-network.ts";
export { createForwarders, type Forwarders } from "./forwarders.ts";
export { buildHostnameFile, buildHostsFile } from "./hosts-file.ts";
export { defaultAddressPools } from "./ipam.ts";
export { expandPorts, parsePortRange, parsePortSpec, type HostBinding, type PortSpec } from "./port-requests.ts";
export { buildResolvConf, chooseResolvConfPath, resolvConfPath, systemdResolvConfPath } from "./resolv-conf.ts";
export { tryNetworks, type NetworkTry } from "./host-check.ts";
export { createNetworks, type NetworkDependencies, type NetworkSys } from "./networks.ts";
