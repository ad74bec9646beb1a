/** An artificial machine for tests: everything works, four CPUs, one node. */
import type { HostConfig } from "@fathom/spec";
import type { ContainerSpecInput, DaemonSettings } from "../oci/container-spec.ts";
import { noDevices } from "../oci/devices.ts";
import type { HostFacts } from "../oci/host-facts.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

/** All 41 capabilities except CAP_SYS_RESOURCE (24). */
export const bounding = 0x1ff_feff_ffffn;

export const testHost: HostFacts = {
  capabilities: bounding,
  kernelRelease: "6.18.4-test",
  architecture: "x86_64",
  cpuCount: 4,
  seccomp: true,
  cgroupNamespaces: true,
  cgroupVersion: "v1",
  limits: {
    memory: true,
    memorySwap: true,
    memoryReservation: true,
    memorySwappiness: true,
    oomKillDisable: true,
    cpuShares: true,
    cpuQuota: true,
    cpuset: true,
    pids: true,
    blkioWeight: true,
    availableCpus: "0-3",
    availableMems: "0",
  },
  ipv4Forwarding: true,
  pingGroupRange: true,
  unprivilegedPortStart: true,
  thermalPaths: ["/sys/devices/system/cpu/cpu0/thermal_throttle"],
};

export const testDaemon: DaemonSettings = { defaultUlimits: [], noNewPrivileges: false, seccompProfile: "" };

export function testInput(
  change: Partial<ContainerSpecInput> & { readonly host?: Partial<HostConfig> } = {},
): ContainerSpecInput {
  const { host, ...rest } = change;
  return {
    id: "c".repeat(64),
    config: { ...emptyContainerConfig, Hostname: "box" },
    hostConfig: { ...emptyHostConfig, NetworkMode: "bridge", IpcMode: "private", ShmSize: 67_108_864, ...host },
    command: ["sh"],
    mounts: [],
    cgroupPath: "/fathom/c",
    user: { uid: 0, gid: 0, additionalGids: [0], home: "/root" },
    namespaces: { network: undefined, uts: undefined, pid: undefined, ipc: undefined },
    files: { hosts: "/c/hosts", hostname: "/c/hostname", resolvConf: "/c/resolv.conf" },
    hostname: "box",
    linkEnvironment: [],
    sharedMemory: undefined,
    devices: noDevices,
    ...rest,
  };
}
