/** What a container uses, as GET /containers/ID/stats shows it. */
import { zeroTime } from "@fathom/base";
import {
  twoSamples,
  type Container,
  type ContainerRecord,
  type InterfaceCounters,
  type ResourceSample,
} from "@fathom/containers";
import type { IoCount } from "@fathom/runtime";
import type { BlkioEntry, BlkioStats, ContainerStatsResponse, CpuStats, NetworkStats } from "@fathom/spec";
import { totalmem } from "node:os";
import type { StatsRequest } from "../../backend.ts";
import type { EngineContext } from "../../context.ts";

const noCpu: CpuStats = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

const noBlkio: BlkioStats = {
  io_service_bytes_recursive: null,
  io_serviced_recursive: null,
  io_queue_recursive: null,
  io_service_time_recursive: null,
  io_wait_time_recursive: null,
  io_merged_recursive: null,
  io_time_recursive: null,
  sectors_recursive: null,
};

/** With `stream`, answers until the client hangs up or the container is removed; else one. */
export async function* containerStats(
  engine: EngineContext,
  container: Container,
  { stream, oneShot }: StatsRequest,
  signal: AbortSignal,
): AsyncIterable<ContainerStatsResponse> {
  if (!stream) return yield await oneAnswer(engine, container, oneShot, signal);
  let before: ResourceSample | undefined;
  for await (const look of engine.sampler.watch(container, signal)) {
    yield shownStats(container.record, look, before);
    before = look;
  }
}

async function oneAnswer(
  engine: EngineContext,
  container: Container,
  oneShot: boolean,
  signal: AbortSignal,
): Promise<ContainerStatsResponse> {
  if (oneShot) return shownStats(container.record, engine.sampler.look(container), undefined);
  // The container's end or a second container with its name changes nothing: the record is that of this container.
  const [before, now] = (await twoSamples(engine.sampler, engine.clock, container, signal)) ?? [];
  return shownStats(container.record, now, before);
}

/** `sample` is undefined when the container does not run; then everything is zero, as in Docker. */
export function shownStats(
  { id, name }: Pick<ContainerRecord, "id" | "name">,
  sample: ResourceSample | undefined,
  before: ResourceSample | undefined,
  hostMemoryBytes: number = totalmem(),
): ContainerStatsResponse {
  const always = { id, name: `/${name}`, num_procs: 0, storage_stats: {} } as const;
  if (sample === undefined)
    return {
      ...always,
      os_type: "",
      read: zeroTime,
      preread: zeroTime,
      pids_stats: {},
      blkio_stats: noBlkio,
      cpu_stats: noCpu,
      precpu_stats: noCpu,
      memory_stats: {},
    };
  const { cgroup } = sample;
  const networks = Object.entries(sample.interfaces);
  return {
    ...always,
    os_type: "linux",
    read: sample.readAt,
    preread: before?.readAt ?? zeroTime,
    pids_stats: {
      ...(cgroup.pids === 0 ? {} : { current: cgroup.pids }),
      ...(cgroup.pidsLimit === 0 ? {} : { limit: cgroup.pidsLimit }),
    },
    blkio_stats: {
      ...noBlkio,
      io_service_bytes_recursive: blkioEntries(cgroup.io),
      io_serviced_recursive: blkioEntries(cgroup.ioRequests),
    },
    cpu_stats: cpuStats(sample),
    precpu_stats: before === undefined ? noCpu : cpuStats(before),
    memory_stats: {
      usage: cgroup.memoryUsageBytes,
      ...(cgroup.memoryPeakBytes === undefined ? {} : { max_usage: cgroup.memoryPeakBytes }),
      stats: cgroup.memoryStat,
      ...(cgroup.memoryFailures === 0 ? {} : { failcnt: cgroup.memoryFailures }),
      limit: Math.min(cgroup.memoryLimitBytes, hostMemoryBytes),
    },
    ...(networks.length === 0
      ? {}
      : { networks: Object.fromEntries(networks.map(([device, counters]) => [device, networkStats(counters)])) }),
  };
}

function cpuStats({ cgroup, host }: ResourceSample): CpuStats {
  return {
    cpu_usage: {
      total_usage: Number(cgroup.cpuUsageNs),
      ...(cgroup.cpuUsagePerCpuNs.length === 0 ? {} : { percpu_usage: cgroup.cpuUsagePerCpuNs.map(Number) }),
      usage_in_kernelmode: Number(cgroup.cpuSystemNs),
      usage_in_usermode: Number(cgroup.cpuUserNs),
    },
    system_cpu_usage: host.totalNs,
    online_cpus: host.online,
    throttling_data: {
      periods: cgroup.periods,
      throttled_periods: cgroup.throttledPeriods,
      throttled_time: Number(cgroup.throttledNs),
    },
  };
}

function blkioEntries(counts: readonly IoCount[]): BlkioEntry[] {
  return counts.map(({ major, minor, op, value }) => ({ major, minor, op, value: Number(value) }));
}

function networkStats(counters: InterfaceCounters): NetworkStats {
  return {
    rx_bytes: counters.receivedBytes,
    rx_packets: counters.receivedPackets,
    rx_errors: counters.receiveErrors,
    rx_dropped: counters.receiveDropped,
    tx_bytes: counters.sentBytes,
    tx_packets: counters.sentPackets,
    tx_errors: counters.sendErrors,
    tx_dropped: counters.sendDropped,
  };
}
