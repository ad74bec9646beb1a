import { expect, test } from "bun:test";
import { zeroTime } from "@fathom/base";
import type { ResourceSample } from "@fathom/containers";
import { noStats } from "@fathom/runtime/testing";
import { shownStats } from "./stats.ts";

const record = { id: "a".repeat(64), name: "box" };

function sampleOf(cgroup: Partial<typeof noStats>, more: Partial<ResourceSample> = {}): ResourceSample {
  return {
    readAt: "2026-01-01T00:00:02Z",
    cgroup: { ...noStats, ...cgroup },
    host: { totalNs: 4000, online: 2 },
    interfaces: {},
    ...more,
  };
}

test("a container without a memory limit shows the host's memory as its limit", () => {
  const unlimited = sampleOf({ memoryLimitBytes: Number.MAX_SAFE_INTEGER, memoryUsageBytes: 10 });
  expect(shownStats(record, unlimited, undefined, 5000).memory_stats).toEqual({ usage: 10, stats: {}, limit: 5000 });
  const limited = sampleOf({ memoryLimitBytes: 4000, memoryFailures: 2, memoryPeakBytes: 3000 });
  const expected = { usage: 0, max_usage: 3000, stats: {}, failcnt: 2, limit: 4000 };
  expect(shownStats(record, limited, undefined, 5000).memory_stats).toEqual(expected);
});

test("the sample before stands in precpu_stats; without one it is all zero", () => {
  const before = sampleOf({ cpuUsageNs: 7n }, { readAt: "2026-01-01T00:00:01Z", host: { totalNs: 3000, online: 2 } });
  const now = sampleOf({ cpuUsageNs: 9n, cpuUsagePerCpuNs: [4n, 5n] });
  const shown = shownStats(record, now, before);
  expect([shown.preread, shown.precpu_stats.cpu_usage.total_usage, shown.precpu_stats.system_cpu_usage]).toEqual([
    "2026-01-01T00:00:01Z",
    7,
    3000,
  ]);
  expect([shown.cpu_stats.cpu_usage.percpu_usage, shown.cpu_stats.online_cpus]).toEqual([[4, 5], 2]);
  const first = shownStats(record, now, undefined);
  expect([first.preread, first.precpu_stats.cpu_usage.total_usage, "system_cpu_usage" in first.precpu_stats]).toEqual([
    zeroTime,
    0,
    false,
  ]);
});

test("networks stand there only for interfaces of its own; values of a stopped container are zero", () => {
  const eth0 = {
    receivedBytes: 1,
    receivedPackets: 2,
    receiveErrors: 3,
    receiveDropped: 4,
    sentBytes: 5,
    sentPackets: 6,
    sendErrors: 7,
    sendDropped: 8,
  };
  expect(shownStats(record, sampleOf({}, { interfaces: { eth0 } }), undefined).networks?.["eth0"]).toEqual({
    rx_bytes: 1,
    rx_packets: 2,
    rx_errors: 3,
    rx_dropped: 4,
    tx_bytes: 5,
    tx_packets: 6,
    tx_errors: 7,
    tx_dropped: 8,
  });
  expect("networks" in shownStats(record, sampleOf({}), undefined)).toBe(false);
  const stopped = shownStats(record, undefined, undefined);
  expect([stopped.name, stopped.read, stopped.memory_stats, stopped.os_type]).toEqual(["/box", zeroTime, {}, ""]);
});
