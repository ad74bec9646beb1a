/**
 * Adds the daemon's defaults to a request's HostConfig, as dockerd does before it stores and shows it. Contradictions are rejected elsewhere
 * (`oci/`); nothing here throws.
 */
import type { HostConfig } from "@fathom/spec";
import type { EngineConfig, MachineDefaults } from "../../contract.ts";
import { resolveLogSettings } from "../logging/log-config.ts";
import { isPredefined, networkName } from "../../networks/network-mode.ts";

const ownRuntime = { path: "fathom-runc" };
/** Docker's own name for it: clients compare the name in inspect and info. */
export const defaultRuntime = "runc";
/** All names mean this engine's runtime. */
export const runtimes: Readonly<Record<string, { readonly path: string }>> = {
  fathom: ownRuntime,
  "io.containerd.runc.v2": ownRuntime,
  [defaultRuntime]: ownRuntime,
};

/** The largest number below 2^63 that JavaScript holds: clients read limits as 64-bit integers. */
const largestLimit = 2 ** 63 - 1024;

export function withHostDefaults(requested: HostConfig, config: EngineConfig, facts: MachineDefaults): HostConfig {
  const { Privileged: privileged } = requested;
  const log = resolveLogSettings(requested.LogConfig, config);
  const memorySwap =
    requested.Memory > 0 && requested.MemorySwap === 0
      ? Math.min(requested.Memory * 2, largestLimit)
      : requested.MemorySwap;
  return {
    ...requested,
    LogConfig: log,
    NetworkMode: networkName(requested.NetworkMode),
    Links: isPredefined(networkName(requested.NetworkMode)) ? requested.Links : null,
    PortBindings: requested.PortBindings ?? {},
    RestartPolicy: requested.RestartPolicy.Name === "" ? { Name: "no", MaximumRetryCount: 0 } : requested.RestartPolicy,
    IpcMode: requested.IpcMode === "" ? "private" : requested.IpcMode,
    CgroupnsMode:
      requested.CgroupnsMode === ""
        ? facts.privateCgroups && !privileged
          ? "private"
          : "host"
        : requested.CgroupnsMode,
    ShmSize: requested.ShmSize === 0 ? config.defaultShmSizeBytes : requested.ShmSize,
    Dns: requested.Dns ?? [],
    DnsOptions: requested.DnsOptions ?? [],
    DnsSearch: requested.DnsSearch ?? [],
    Devices: requested.Devices ?? [],
    Ulimits: requested.Ulimits ?? [],
    BlkioWeightDevice: requested.BlkioWeightDevice ?? [],
    BlkioDeviceReadBps: requested.BlkioDeviceReadBps ?? [],
    BlkioDeviceWriteBps: requested.BlkioDeviceWriteBps ?? [],
    BlkioDeviceReadIOps: requested.BlkioDeviceReadIOps ?? [],
    BlkioDeviceWriteIOps: requested.BlkioDeviceWriteIOps ?? [],
    MemorySwap: memorySwap,
    MaskedPaths: privileged ? null : (requested.MaskedPaths ?? facts.maskedPaths),
    ReadonlyPaths: privileged ? null : (requested.ReadonlyPaths ?? facts.readonlyPaths),
    SecurityOpt: securityOptions(requested),
    Runtime: requested.Runtime === undefined || requested.Runtime === "" ? defaultRuntime : requested.Runtime,
  };
}

/**
 * A container that is privileged or uses the host's pid or IPC namespace has no SELinux label: dockerd adds `label=disable` to its options, and
 * clients compare them.
 */
function securityOptions(requested: HostConfig): readonly string[] | null {
  const options = requested.SecurityOpt;
  const unlabelled = requested.Privileged || requested.PidMode === "host" || requested.IpcMode === "host";
  if (!unlabelled || options?.some((option) => option.startsWith("label"))) return options;
  return [...(options ?? []), "label=disable"];
}
