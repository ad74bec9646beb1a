export * from "./contract.ts";
export { checkEndpointSettings, checkMacAddress } from "./default-network.ts";
export { createForwarders, type Forwarders } from "./ports/forwarders.ts";
export { buildHostnameFile, buildHostsFile } from "./files/hosts-file.ts";
export { defaultAddressPools } from "./ipam/pool.ts";
export { expandPorts, parsePortRange, parsePortSpec, type HostBinding, type PortSpec } from "./ports/port-requests.ts";
export { buildResolvConf, chooseResolvConfPath, resolvConfPath, systemdResolvConfPath } from "./files/resolv-conf.ts";
export { tryNetworks, type NetworkTry } from "./host/host-check.ts";
export { createNetworks, type NetworkDependencies, type NetworkSys } from "./manager.ts";
