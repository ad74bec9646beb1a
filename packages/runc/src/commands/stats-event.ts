/** Statistics of a cgroup in the form that `runc events` prints; containerd's shim and others read it. */
import type { CgroupStats, IoCount } from "@fathom/runtime";

export function statsEvent(stats: CgroupStats): unknown {
  const { memoryStat } = stats;
  const entries = (counts: readonly IoCount[]): unknown[] =>
    counts.map(({ major, minor, op, value }) => ({ major, minor, op, value }));
  return {
    cpu: {
      usage: {
        total: stats.cpuUsageNs,
        ...(stats.cpuUsagePerCpuNs.length === 0 ? {} : { percpu: stats.cpuUsagePerCpuNs }),
        kernel: stats.cpuSystemNs,
        user: stats.cpuUserNs,
      },
      throttling: {
        periods: stats.periods,
        throttledPeriods: stats.throttledPeriods,
        throttledTime: stats.throttledNs,
      },
    },
    memory: {
      cache: memoryStat["cache"] ?? memoryStat["file"] ?? 0,
      usage: {
        limit: stats.memoryLimitBytes,
        usage: stats.memoryUsageBytes,
        ...(stats.memoryPeakBytes === undefined ? {} : { max: stats.memoryPeakBytes }),
        failcnt: stats.memoryFailures,
      },
      raw: memoryStat,
    },
    pids: { current: stats.pids, ...(stats.pidsLimit === 0 ? {} : { limit: stats.pidsLimit }) },
    blkio: {
      ioServiceBytesRecursive: entries(stats.io),
      ioServicedRecursive: entries(stats.ioRequests),
    },
    hugetlb: {},
    intel_rdt: {},
    network_interfaces: null,
  };
}
