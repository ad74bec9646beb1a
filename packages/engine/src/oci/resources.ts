/** Limits of HostConfig → OCI `linux.resources`, without limits that this machine does not support. */
import type { CgroupSupport } from "@fathom/runtime";
import type { HostConfig, LinuxResources } from "@fathom/spec";

/** Docker's period for --cpus: 100 ms. */
const periodUs = 100_000;

/** The limits that stay when those that the machine does not support are discarded (`checkResources` has warned about each). */
function supportedResources(config: HostConfig, support: CgroupSupport): HostConfig {
  const memory = support.memory ? config.Memory : 0;
  return {
    ...config,
    Memory: memory,
    MemorySwap: memory === 0 || !support.memorySwap ? (memory === 0 ? 0 : -1) : config.MemorySwap,
    MemoryReservation: support.memoryReservation ? config.MemoryReservation : 0,
    MemorySwappiness: support.memorySwappiness && (config.MemorySwappiness ?? -1) >= 0 ? config.MemorySwappiness : null,
    OomKillDisable: support.oomKillDisable ? config.OomKillDisable : null,
    PidsLimit: support.pids ? config.PidsLimit : null,
    CpuShares: support.cpuShares ? config.CpuShares : 0,
    CpuPeriod: support.cpuQuota ? config.CpuPeriod : 0,
    CpuQuota: support.cpuQuota ? config.CpuQuota : 0,
    CpusetCpus: support.cpuset ? config.CpusetCpus : "",
    CpusetMems: support.cpuset ? config.CpusetMems : "",
    BlkioWeight: support.blkioWeight ? config.BlkioWeight : 0,
  };
}

/** Without the devices, because `update` does not change them. */
export function ociResources(config: HostConfig, support: CgroupSupport): LinuxResources {
  const limits = supportedResources(config, support);
  const memory = withoutZeros({
    limit: limits.Memory,
    reservation: limits.MemoryReservation,
    swap: limits.MemorySwap,
    swappiness: limits.MemorySwappiness ?? undefined,
  });
  if (limits.MemorySwappiness === 0) memory.swappiness = 0;
  const quota =
    limits.NanoCpus > 0
      ? { period: periodUs, quota: Math.floor((limits.NanoCpus * periodUs) / 1e9) }
      : withoutZeros({ period: limits.CpuPeriod, quota: limits.CpuQuota });
  const { PidsLimit: pids } = limits;
  return {
    memory: { ...memory, ...(limits.OomKillDisable === true ? { disableOOMKiller: true } : {}) },
    cpu: {
      ...withoutZeros({ shares: limits.CpuShares }),
      ...quota,
      ...(limits.CpusetCpus === "" ? {} : { cpus: limits.CpusetCpus }),
      ...(limits.CpusetMems === "" ? {} : { mems: limits.CpusetMems }),
    },
    ...(pids === null ? {} : { pids: { limit: pids <= 0 ? -1 : pids } }),
    ...(limits.BlkioWeight === 0 ? {} : { blockIO: { weight: limits.BlkioWeight } }),
  };
}

function withoutZeros<K extends string>(values: Record<K, number | undefined>): { [P in K]?: number } {
  const result: { [P in K]?: number } = {};
  for (const key in values) {
    const value = values[key];
    if (value !== undefined && value !== 0) result[key] = value;
  }
  return result;
}
