import { expect, test } from "bun:test";
import type { LinuxResources } from "@fathom/spec";
import { settingsFromOci } from "./settings.ts";

/** "member: controller/file=value" for v1 and v2. */
function shown(resources: LinuxResources): string[] {
  return settingsFromOci(resources).map(({ member, v1, v2 }) => {
    const [first, second] = [v1, v2].map((one) =>
      one === undefined ? "-" : `${one.controller}/${one.file}=${one.value}`,
    );
    return `${member}: ${first} | ${second}`;
  });
}

test("each member has its file on v1 and on v2", () => {
  expect(
    shown({
      cpu: { burst: 1, idle: 1, realtimePeriod: 1_000_000, realtimeRuntime: 950_000 },
      memory: { kernelTCP: 5 },
      blockIO: {
        weightDevice: [{ major: 8, minor: 0, weight: 500 }],
        throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 10 }],
        throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 11 }],
        throttleReadIOPSDevice: [{ major: 8, minor: 0, rate: 12 }],
        throttleWriteIOPSDevice: [{ major: 8, minor: 16, rate: 0 }],
      },
      hugepageLimits: [{ pageSize: "2MB", limit: 4_194_304 }],
      network: { classID: 1_048_577, priorities: [{ name: "eth0", priority: 5 }] },
      rdma: { mlx5_1: { hcaHandles: 3 }, mlx4_0: { hcaHandles: 1, hcaObjects: 2 } },
      unified: { "memory.high": "1000", "cpu.weight.nice": "3" },
    }),
  ).toEqual([
    "cpu.burst: cpu/cpu.cfs_burst_us=1 | cpu/cpu.max.burst=1",
    "cpu.idle: cpu/cpu.idle=1 | cpu/cpu.idle=1",
    "cpu.realtimePeriod: cpu/cpu.rt_period_us=1000000 | -",
    "cpu.realtimeRuntime: cpu/cpu.rt_runtime_us=950000 | -",
    "memory.kernelTCP: memory/memory.kmem.tcp.limit_in_bytes=5 | -",
    "blockIO.weightDevice: blkio/blkio.bfq.weight_device=8:0 500 | io/io.bfq.weight=8:0 500",
    "blockIO.throttleReadBpsDevice: blkio/blkio.throttle.read_bps_device=8:0 10 | io/io.max=8:0 rbps=10",
    "blockIO.throttleWriteBpsDevice: blkio/blkio.throttle.write_bps_device=8:0 11 | io/io.max=8:0 wbps=11",
    "blockIO.throttleReadIOPSDevice: blkio/blkio.throttle.read_iops_device=8:0 12 | io/io.max=8:0 riops=12",
    "blockIO.throttleWriteIOPSDevice: blkio/blkio.throttle.write_iops_device=8:16 0 | io/io.max=8:16 wiops=max",
    "hugepageLimits: hugetlb/hugetlb.2MB.limit_in_bytes=4194304 | hugetlb/hugetlb.2MB.max=4194304",
    "network.classID: net_cls/net_cls.classid=1048577 | -",
    "network.priorities: net_prio/net_prio.ifpriomap=eth0 5 | -",
    "rdma: rdma/rdma.max=mlx5_1 hca_handle=3 | rdma/rdma.max=mlx5_1 hca_handle=3",
    "rdma: rdma/rdma.max=mlx4_0 hca_handle=1 hca_object=2 | rdma/rdma.max=mlx4_0 hca_handle=1 hca_object=2",
    "unified memory.high: - | memory/memory.high=1000",
    "unified cpu.weight.nice: - | cpu/cpu.weight.nice=3",
  ]);
});

test("what is not asked for sets nothing, and a name cannot lead out of the cgroup", () => {
  expect(shown({})).toEqual([]);
  expect(shown({ cpu: { burst: 0, idle: 0 }, network: { classID: 0 }, memory: { kernelTCP: 0 } })).toEqual([]);
  for (const name of ["../memory.max", "memory", ".max", "memory.max/../x", "memory.max\n"])
    expect(() => shown({ unified: { [name]: "1" } })).toThrow("is not the name of a file of cgroup v2");
  expect(() => shown({ hugepageLimits: [{ pageSize: "../2MB", limit: 1 }] })).toThrow("is no page size");
});
