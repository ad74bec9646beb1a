export * from "./contract.ts";
export { networkConfig, type DefaultNetworkOptions } from "./default-networks.ts";
export {
  buildHostnameFile,
  buildHostsFile,
  changeHostsFile,
  moveInHosts,
  removeFromHosts,
} from "./files/hosts-file.ts";
export {
  buildResolvConf,
  chooseResolvConfPath,
  resolvConfPath,
  resolverSettings,
  systemdResolvConfPath,
} from "./files/resolv-conf.ts";
export { tryNetworks, type NetworkTry } from "./host/host-check.ts";
export { createHostMonitor, type HostMonitor } from "./host/host-monitor.ts";
export type { NetworkSys } from "./host/host-network.ts";
export { defaultAddressPools } from "./ipam/pool.ts";
export {
  formatAddress,
  formatPrefix,
  lastOf,
  parseAddress,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  type Address,
  type Prefix,
} from "./ipam/prefix.ts";
export { createNetworkManager, type NetworkDependencies } from "./manager.ts";
export type * from "./names/contract.ts";
export { createNameServer, type NameServerSys } from "./names/name-server.ts";
export { createHelperNames, type HelperProgram } from "./names/process/helper-names.ts";
export { runNameHelper } from "./names/process/name-helper.ts";
export { createForwarders, type Forwarders } from "./ports/forwarders.ts";
export { expandPorts, parsePortRange, parsePortSpec, type HostBinding, type PortSpec } from "./ports/port-requests.ts";
export {
  checkEndpointSettings,
  checkMacAddress,
  endpointProblems,
  settingsOfOptions,
} from "./sandbox/endpoint-settings.ts";
export { gatewayOf, ownAddresses } from "./sandbox/gateway.ts";
export { readEndpoint, readNetwork } from "./stored.ts";
