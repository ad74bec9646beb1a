import { expect, test } from "bun:test";
import { FakeCgroupFileSystem, FakeError } from "../testing/fake-cgroup-filesystem.ts";
import { applyLimits, weightOfShares, type Places } from "./limits.ts";
import type { Resources } from "./contract.ts";

const firstFiles = [
  "memory/memory.limit_in_bytes",
  "memory/memory.memsw.limit_in_bytes",
  "memory/memory.soft_limit_in_bytes",
  "memory/memory.swappiness",
  "memory/memory.oom_control",
  "cpu/cpu.shares",
  "cpu/cpu.cfs_period_us",
  "cpu/cpu.cfs_quota_us",
  "cpuset/cpuset.cpus",
  "cpuset/cpuset.mems",
  "pids/pids.max",
  "blkio/blkio.bfq.weight",
];

function tree(
  version: 1 | 2,
  files: readonly string[],
  controllers: readonly string[],
): { fs: FakeCgroupFileSystem; places: Places } {
  const fs = new FakeCgroupFileSystem();
  for (const file of files) fs.files.set(`/${file}`, "0");
  const places: Places = new Map(
    controllers.map((controller) => [controller, { version, directory: version === 1 ? `/${controller}` : "/u" }]),
  );
  return { fs, places };
}

const first = (): ReturnType<typeof tree> => tree(1, firstFiles, ["memory", "cpu", "cpuset", "pids", "blkio"]);
const second = (extra: readonly string[] = []): ReturnType<typeof tree> =>
  tree(
    2,
    [
      "memory.max",
      "memory.swap.max",
      "memory.low",
      "cpu.weight",
      "cpu.max",
      "cpuset.cpus",
      "pids.max",
      "io.weight",
      ...extra,
    ].map((name) => `u/${name}`),
    ["memory", "cpu", "cpuset", "pids", "io"],
  );

function written(where: ReturnType<typeof tree>, resources: Resources): string[] {
  const before = where.fs.log.length;
  applyLimits(where.fs, where.places, resources);
  return where.fs.log.slice(before);
}

/** As in the kernel: memory may never exceed memory+swap. */
function keepOrder(fs: FakeCgroupFileSystem): void {
  const value = (name: string): number => Number(fs.files.get(`/memory/memory.${name}`));
  fs.files.set("/memory/memory.limit_in_bytes", "1e18");
  fs.files.set("/memory/memory.memsw.limit_in_bytes", "1e18");
  const bound = (text: string): number => (text === "-1" ? 1e18 : Number(text));
  fs.onWrite = (path, text) => {
    if (path.endsWith("memory.limit_in_bytes") && bound(text) > value("memsw.limit_in_bytes"))
      throw new FakeError("EINVAL", path);
    if (path.endsWith("memsw.limit_in_bytes") && bound(text) < value("limit_in_bytes"))
      throw new FakeError("EINVAL", path);
  };
}

test("v1: memory and swap in the order that the kernel accepts, down and up again", () => {
  const where = first();
  keepOrder(where.fs);
  expect(written(where, { memoryBytes: 100, memorySwapBytes: 200 })).toEqual([
    "/memory/memory.limit_in_bytes ← 100",
    "/memory/memory.memsw.limit_in_bytes ← 200",
  ]);
  expect(written(where, { memoryBytes: 300, memorySwapBytes: 400 })).toEqual([
    "/memory/memory.memsw.limit_in_bytes ← 400",
    "/memory/memory.limit_in_bytes ← 300",
  ]);
  expect(written(where, { memoryBytes: 50, memorySwapBytes: 50 })).toEqual([
    "/memory/memory.limit_in_bytes ← 50",
    "/memory/memory.memsw.limit_in_bytes ← 50",
  ]);
});

test("v1: the other limits", () => {
  expect(
    written(first(), {
      memoryReservationBytes: 7,
      memorySwappiness: 0,
      oomKillDisable: true,
      cpuShares: 512,
      cpuQuotaUs: 50_000,
      cpuPeriodUs: 100_000,
      cpusetCpus: "0-1",
      cpusetMems: "0",
      pids: 20,
      blkioWeight: 300,
    }),
  ).toEqual([
    "/memory/memory.soft_limit_in_bytes ← 7",
    "/memory/memory.swappiness ← 0",
    "/memory/memory.oom_control ← 1",
    "/cpu/cpu.shares ← 512",
    "/cpu/cpu.cfs_period_us ← 100000",
    "/cpu/cpu.cfs_quota_us ← 50000",
    "/cpuset/cpuset.cpus ← 0-1",
    "/cpuset/cpuset.mems ← 0",
    "/pids/pids.max ← 20",
    "/blkio/blkio.bfq.weight ← 300",
  ]);
  expect(written(first(), { pids: -1 })).toEqual(["/pids/pids.max ← max"]);
  expect(written(first(), {})).toEqual([]);
  expect(written(first(), { memoryBytes: 0, cpuShares: 0, cpusetCpus: "", blkioWeight: 0 })).toEqual([]);
});

test("v1: CPU shares that the kernel would replace by the limit of its range are rejected", () => {
  expect(() => written(first(), { cpuShares: 1 })).toThrow("the minimum allowed cpu-shares is 2");
  expect(() => written(first(), { cpuShares: 262_145 })).toThrow("the maximum allowed cpu-shares is 262144");
  expect(written(first(), { cpuShares: 2 })).toEqual(["/cpu/cpu.shares ← 2"]);
});

test("v1: a period that does not fit the old quota is written after the new quota", () => {
  const where = first();
  let quota = 0;
  where.fs.onWrite = (path, text) => {
    if (path.endsWith("quota_us")) quota = Number(text);
    if (path.endsWith("period_us") && quota === 0) throw new FakeError("EINVAL", path);
  };
  expect(written(where, { cpuPeriodUs: 1000, cpuQuotaUs: 500 })).toEqual([
    "/cpu/cpu.cfs_quota_us ← 500",
    "/cpu/cpu.cfs_period_us ← 1000",
  ]);
});

test("v2: values in its own units", () => {
  expect(
    written(second(), {
      memoryBytes: 100,
      memorySwapBytes: 150,
      memoryReservationBytes: 50,
      cpuShares: 1024,
      cpuQuotaUs: 50_000,
      cpuPeriodUs: 100_000,
      cpusetCpus: "0",
      pids: 0,
      blkioWeight: 500,
    }),
  ).toEqual([
    "/u/memory.swap.max ← 50",
    "/u/memory.max ← 100",
    "/u/memory.low ← 50",
    "/u/cpu.weight ← 100",
    "/u/cpu.max ← 50000 100000",
    "/u/cpuset.cpus ← 0",
    "/u/pids.max ← max",
    "/u/io.weight ← 4950",
  ]);
  expect(written(second(), { memoryBytes: -1 })).toEqual(["/u/memory.swap.max ← max", "/u/memory.max ← max"]);
  expect(written(second(), { memoryBytes: 9, memorySwapBytes: -1 })).toEqual([
    "/u/memory.swap.max ← max",
    "/u/memory.max ← 9",
  ]);
  expect(written(second(), { cpuQuotaUs: -1 })).toEqual(["/u/cpu.max ← max"]);
  expect(written(second(["io.bfq.weight"]), { blkioWeight: 500 })).toEqual(["/u/io.bfq.weight ← 500"]);
  expect(() => written(second(), { memorySwapBytes: 5 })).toThrow(/without a memory limit/);
  expect(() => written(second(), { memoryBytes: 9, memorySwapBytes: 5 })).toThrow(/below/);
  expect(() => written(second(), { oomKillDisable: true })).toThrow(/no such setting/);
});

test("shares and weights agree at both ends and at the defaults, and their order never changes", () => {
  expect([0, 2, 1024, 262_144, 1_000_000].map(weightOfShares)).toEqual([1, 1, 100, 10_000, 10_000]);
  for (let shares = 2, last = 0; shares < 262_144; shares += 97) {
    const weight = weightOfShares(shares);
    expect(weight).toBeGreaterThanOrEqual(last);
    last = weight;
  }
});

test("errors name the missing controller, the missing limit, or the usage that is too high", () => {
  const none = tree(1, [], []);
  expect(() => written(none, { memoryBytes: 1 })).toThrow(
    /memory limit: the memory cgroup controller is not available/,
  );
  expect(() => written(none, { pids: 1 })).toThrow(/pids cgroup controller/);
  const bare = tree(1, ["memory/memory.limit_in_bytes"], ["memory"]);
  expect(() => written(bare, { memoryBytes: 5, memorySwapBytes: 10 })).toThrow(
    /memsw.limit_in_bytes to 10: this kernel has no such limit/,
  );
  // Removing a limit that cannot exist is no error.
  expect(written(bare, { memoryBytes: 5, memorySwapBytes: -1 })).toEqual(["/memory/memory.limit_in_bytes ← 5"]);
  const busy = first();
  busy.fs.files.set("/memory/memory.usage_in_bytes", "4096\n");
  busy.fs.onWrite = (path) => {
    throw new FakeError("EBUSY", path);
  };
  expect(() => written(busy, { memoryBytes: 5 })).toThrow(/uses 4096 bytes/);
  expect(() => written(first(), { blkioWeight: 5 })).toThrow(/10 to 1000/);
});
