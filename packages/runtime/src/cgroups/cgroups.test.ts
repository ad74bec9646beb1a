import { expect, test } from "bun:test";
import type { Cgroups } from "./contract.ts";
import { createCgroups } from "./cgroups.ts";
import type { CgroupDependencies } from "./cgroup.ts";
import { FakeCgroupFileSystem, FakeError } from "../testing/fake-cgroup-filesystem.ts";
import { findHierarchies } from "./hierarchies.ts";

const root = "/sys/fs/cgroup";

const firstMounts = [
  `30 24 0:27 / ${root} ro,nosuid - tmpfs tmpfs ro,mode=755`,
  `31 30 0:28 / ${root}/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct`,
  `32 30 0:29 / ${root}/cpuset rw,relatime - cgroup cgroup rw,cpuset,clone_children`,
  `33 30 0:30 / ${root}/memory rw,relatime - cgroup cgroup rw,memory`,
  `34 30 0:31 / ${root}/devices rw,relatime - cgroup cgroup rw,devices`,
  `35 30 0:32 / ${root}/freezer rw,relatime - cgroup cgroup rw,freezer`,
  `36 30 0:33 / ${root}/pids rw,relatime - cgroup cgroup rw,pids`,
  `37 30 0:34 / ${root}/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd`,
  // The same hierarchy once more, as a bind of a container shows it.
  `80 40 0:30 /x /somewhere/else rw,relatime - cgroup cgroup rw,memory`,
].join("\n");
const sideMount = `38 30 0:35 / ${root}/unified rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate`;
const secondMount = `38 30 0:35 / ${root} rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate`;

interface Machine {
  readonly fs: FakeCgroupFileSystem;
  readonly cgroups: Cgroups;
  readonly killed: number[];
  readonly waits: number[];
}

function machine(kind: "v1" | "v2" | "hybrid", more: Partial<CgroupDependencies> = {}): Machine {
  const fs = new FakeCgroupFileSystem();
  const procs = { "cgroup.procs": "" };
  if (kind !== "v2") {
    const cpuset = { "cpuset.cpus": "0-3\n", "cpuset.mems": "0\n", "cgroup.clone_children": "0" };
    const below = { ...procs, "cpuset.cpus": "\n", "cpuset.mems": "\n", "cgroup.clone_children": "0" };
    fs.mount(`${root}/cpuset`, cpuset, below);
    fs.mount(
      `${root}/cpu,cpuacct`,
      { "cpu.shares": "1024", "cpu.cfs_quota_us": "-1" },
      {
        ...procs,
        "cpu.shares": "1024",
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_period_us": "100000",
        "cpu.stat": "nr_periods 3\nnr_throttled 2\nthrottled_time 99\n",
        "cpuacct.usage": "1000\n",
        "cpuacct.usage_user": "700\n",
        "cpuacct.usage_sys": "300\n",
      },
    );
    const memory = {
      "memory.limit_in_bytes": "9223372036854771712\n",
      "memory.memsw.limit_in_bytes": "9223372036854771712\n",
      "memory.soft_limit_in_bytes": "",
      "memory.swappiness": "60",
      "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
      "memory.usage_in_bytes": "4096\n",
      "memory.stat": "cache 10\nrss 20\n",
    };
    fs.mount(`${root}/memory`, memory, { ...procs, ...memory });
    fs.mount(`${root}/devices`, {}, { ...procs, "devices.allow": "", "devices.deny": "" });
    fs.mount(`${root}/freezer`, {}, { ...procs, "freezer.state": "THAWED\n" });
    fs.mount(`${root}/pids`, {}, { ...procs, "pids.max": "max\n", "pids.current": "4\n" });
    fs.mount(`${root}/systemd`, {}, procs);
  }
  const side = kind === "v2" ? root : `${root}/unified`;
  if (kind !== "v1") {
    const controllers = kind === "v2" ? "cpuset cpu io memory pids rdma\n" : "\n";
    const own = { "cgroup.controllers": controllers, "cgroup.subtree_control": "" };
    const unified = kind === "v2" ? { "cpuset.cpus.effective": "0-3\n", "cpuset.mems.effective": "0\n" } : {};
    fs.mount(
      side,
      { ...own, ...unified },
      {
        ...own,
        ...procs,
        "cgroup.kill": "",
        "cgroup.freeze": "0",
        "cgroup.events": "populated 1\nfrozen 0\n",
        ...(kind === "v2"
          ? {
              "memory.max": "max",
              "memory.swap.max": "max",
              "memory.low": "0",
              "memory.current": "77\n",
              "memory.stat": "anon 5\n",
              "memory.events": "low 0\noom 1\noom_kill 3\n",
              "cpu.weight": "100",
              "cpu.max": "max 100000",
              "cpu.stat": "usage_usec 10\nuser_usec 7\nsystem_usec 3\nnr_periods 4\nnr_throttled 1\nthrottled_usec 5\n",
              "cpuset.cpus": "",
              "cpuset.mems": "",
              "pids.max": "max",
              "pids.current": "1",
              "io.weight": "default 100",
              "io.stat": "8:0 rbytes=90 wbytes=5 rios=1 wios=1 dbytes=0 dios=0\n",
            }
          : {}),
      },
    );
  }
  const mounts = { v1: firstMounts, v2: secondMount, hybrid: `${firstMounts}\n${sideMount}` }[kind];
  const set = findHierarchies(mounts, (mountPoint) => fs.read(`${mountPoint}/cgroup.controllers`));
  const killed: number[] = [];
  const waits: number[] = [];
  let now = 0;
  const cgroups = createCgroups(set, {
    fs,
    clock: {
      monotonicMs: () => now,
      sleep: async (ms) => {
        waits.push(ms);
        now += ms;
      },
    },
    kill: (pid) => void killed.push(pid),
    ...more,
  });
  return { fs, cgroups, killed, waits };
}

function writesOf(fs: FakeCgroupFileSystem, act: () => void): string[] {
  const before = fs.log.length;
  act();
  return fs.log.slice(before).map((line) => line.replaceAll(`${root}/`, ""));
}

test("the three kinds of machine are distinguished", () => {
  expect(machine("v1").cgroups.version).toBe("v1");
  expect(machine("v2").cgroups.version).toBe("v2");
  const { cgroups } = machine("hybrid");
  expect(cgroups.version).toBe("hybrid");
  expect([...cgroups.controllers].sort()).toEqual(["cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"]);
  expect(() => findHierarchies("1 2 0:3 / / rw - ext4 /dev/vda rw", () => "")).toThrow(
    /no cgroup hierarchy is mounted/,
  );
});

test("v1: one mkdir per hierarchy, and reads only for a parent's first child", () => {
  const { fs, cgroups } = machine("v1");
  const first = writesOf(fs, () => cgroups.create("/fathom/a"));
  expect(first.filter((line) => line.startsWith("cpuset"))).toEqual([
    "cpuset/fathom/cpuset.cpus ← 0-3",
    "cpuset/fathom/cpuset.mems ← 0",
    "cpuset/fathom/cgroup.clone_children ← 1",
  ]);
  const reads = fs.reads.length;
  expect(writesOf(fs, () => cgroups.create("/fathom/b"))).toEqual([
    "mkdir cpu,cpuacct/fathom/b",
    "mkdir cpuset/fathom/b",
    "mkdir memory/fathom/b",
    "mkdir devices/fathom/b",
    "mkdir freezer/fathom/b",
    "mkdir pids/fathom/b",
    "mkdir systemd/fathom/b",
  ]);
  expect(fs.reads.length).toBe(reads);
  expect(cgroups.list("/fathom")).toEqual(["a", "b"]);
});

test("a cgroup names the places that a plan needs", () => {
  const cgroup = machine("hybrid").cgroups.create("/fathom/a");
  expect(cgroup.procsFiles).toHaveLength(8);
  expect(cgroup.procsFiles[0]).toBe(`${root}/cpu,cpuacct/fathom/a/tasks`);
  expect(cgroup.hierarchies[0]).toEqual({
    version: 1,
    mountPoint: `${root}/cpu,cpuacct`,
    directory: `${root}/cpu,cpuacct/fathom/a`,
    selectors: [["cpu"], ["cpuacct"]],
  });
  expect(cgroup.hierarchies.map(({ selectors }) => selectors)).toContainEqual([["name", "systemd"]]);
});

test("v2: controllers are enabled once below the parents, and not in the container's own cgroup", () => {
  const { fs, cgroups } = machine("v2");
  expect(writesOf(fs, () => cgroups.create("/fathom/a"))).toEqual([
    "cgroup.subtree_control ← +cpuset +cpu +io +memory +pids",
    "mkdir fathom",
    "fathom/cgroup.subtree_control ← +cpuset +cpu +io +memory +pids",
    "mkdir fathom/a",
  ]);
  expect(writesOf(fs, () => cgroups.create("/fathom/b"))).toEqual(["mkdir fathom/b"]);
});

test("v2: the error says that a parent has processes of its own", () => {
  const { fs, cgroups } = machine("v2");
  fs.onWrite = (path) => {
    if (path.endsWith("subtree_control")) throw new FakeError("EBUSY", path);
  };
  expect(() => cgroups.create("/fathom/a")).toThrow(/processes are in that cgroup itself/);
});

test("a leftover is replaced; a cgroup in use is a conflict, and nothing half made stays", () => {
  const { fs, cgroups } = machine("v1");
  cgroups.create("/fathom/a");
  fs.mkdir(`${root}/memory/fathom/a/inner`);
  expect(writesOf(fs, () => cgroups.create("/fathom/a"))).toContain("rmdir memory/fathom/a/inner");
  fs.files.set(`${root}/pids/fathom/a/cgroup.procs`, "77\n");
  expect(() => cgroups.create("/fathom/a")).toThrow(expect.objectContaining({ code: "conflict" }));
  expect(fs.folders.has(`${root}/memory/fathom/a`)).toBe(false);
  // Another program has removed the parent.
  fs.files.set(`${root}/pids/fathom/a/cgroup.procs`, "");
  for (const folder of fs.folders) if (/fathom/.test(folder)) fs.folders.delete(folder);
  expect(cgroups.create("/fathom/a").path).toBe("/fathom/a");
});

test("paths with .. are rejected", () => {
  const { cgroups } = machine("v1");
  for (const path of ["/", "", "/a/../../b", "/a\0b"])
    expect(() => cgroups.create(path)).toThrow(/not a usable cgroup path/);
  expect(cgroups.create("fathom//x/").path).toBe("/fathom/x");
});

test("processes and kill: with cgroup.kill if it exists, else one by one; nested cgroups too", async () => {
  const hybrid = machine("hybrid");
  const cgroup = hybrid.cgroups.create("/fathom/a");
  hybrid.fs.mkdir(`${root}/unified/fathom/a/x`);
  hybrid.fs.files.set(`${root}/unified/fathom/a/cgroup.procs`, "10\n11\n");
  hybrid.fs.files.set(`${root}/unified/fathom/a/x/cgroup.procs`, "12\n");
  expect(cgroup.processes().sort()).toEqual([10, 11, 12]);
  hybrid.fs.onWrite = (path) => {
    if (!path.endsWith("cgroup.kill")) return;
    for (const file of hybrid.fs.files.keys()) if (file.endsWith("cgroup.procs")) hybrid.fs.files.set(file, "");
  };
  await cgroup.kill();
  expect(hybrid.killed).toEqual([]);

  const first = machine("v1");
  const other = first.cgroups.create("/fathom/a");
  const file = `${root}/pids/fathom/a/cgroup.procs`;
  first.fs.files.set(file, "10\n");
  let thawed = 0;
  first.fs.onWrite = (path, text) => {
    // It was killed and leaves at the second thaw; a fork took its place at the first.
    if (path.endsWith("freezer.state") && text === "THAWED") first.fs.files.set(file, ++thawed === 1 ? "11\n" : "");
  };
  await other.kill();
  expect(first.killed).toEqual([10, 11]);
});

test("kill ends with an error, not after an endless loop", async () => {
  const { fs, cgroups } = machine("v1");
  const cgroup = cgroups.create("/fathom/a");
  fs.files.set(`${root}/pids/fathom/a/cgroup.procs`, "10\n");
  await expect(cgroup.kill()).rejects.toThrow(/cannot end 1 process/);
});

test("freeze waits until the cgroup is frozen, and thaws again when that does not happen", async () => {
  const { fs, cgroups } = machine("v1");
  const cgroup = cgroups.create("/fathom/a");
  const state = `${root}/freezer/fathom/a/freezer.state`;
  await cgroup.freeze();
  expect(cgroup.frozen()).toBe(true);
  await cgroup.thaw();
  expect(cgroup.frozen()).toBe(false);
  const write = fs.write.bind(fs);
  fs.write = (path, text) => {
    write(path, text);
    if (path === state && text === "FROZEN") fs.files.set(state, "FREEZING\n");
  };
  await expect(cgroup.freeze()).rejects.toThrow(/cannot freeze/);
  expect(fs.files.get(state)).toBe("THAWED");

  const second = machine("v2");
  const unified = second.cgroups.create("/fathom/a");
  second.fs.onWrite = (path, text) => {
    if (path.endsWith("cgroup.freeze"))
      second.fs.files.set(`${root}/fathom/a/cgroup.events`, `populated 1\nfrozen ${text}\n`);
  };
  await unified.freeze();
  expect(unified.frozen()).toBe(true);
});

test("a state that cannot be read does not count as thawed", async () => {
  const { fs, cgroups } = machine("v1");
  const cgroup = cgroups.create("/fathom/a");
  const state = `${root}/freezer/fathom/a/freezer.state`;
  await cgroup.freeze();
  const read = fs.read.bind(fs);
  fs.read = (path) => {
    if (path === state) throw new FakeError("EMFILE", path);
    return read(path);
  };
  expect(() => cgroup.frozen()).toThrow(expect.objectContaining({ code: "unavailable" }));
  await expect(cgroup.thaw()).rejects.toMatchObject({ code: "unavailable" });
  await expect(cgroup.freeze()).rejects.toMatchObject({ code: "unavailable" });
  // Not left frozen after an error.
  expect(fs.files.get(state)).toBe("THAWED");
  fs.read = read;
  await cgroup.remove();
  expect(cgroup.frozen()).toBe(false);
});

test("one hierarchy shows the processes: v2, else that of pids", () => {
  expect(machine("v1").cgroups.open("/fathom/a").processDirectory).toBe(`${root}/pids/fathom/a`);
  expect(machine("v2").cgroups.open("/fathom/a").processDirectory).toBe(`${root}/fathom/a`);
  expect(machine("hybrid").cgroups.open("/fathom/a").processDirectory).toBe(`${root}/unified/fathom/a`);
});

test("remove also removes cgroups that the container made, and waits for dying processes", async () => {
  const { fs, cgroups, waits } = machine("v1");
  const cgroup = cgroups.create("/fathom/a");
  fs.mkdir(`${root}/memory/fathom/a/x`);
  fs.mkdir(`${root}/memory/fathom/a/x/y`);
  fs.files.set(`${root}/pids/fathom/a/cgroup.procs`, "10\n");
  queueMicrotask(() => fs.files.set(`${root}/pids/fathom/a/cgroup.procs`, ""));
  await cgroup.remove();
  expect(waits).toEqual([1]);
  expect(cgroups.list("/fathom")).toEqual([]);
  await cgroup.remove();
});

test("remove fails for a cgroup that stays in use", async () => {
  const { fs, cgroups } = machine("v1");
  const cgroup = cgroups.create("/fathom/a");
  fs.files.set(`${root}/pids/fathom/a/cgroup.procs`, "10\n");
  await expect(cgroup.remove()).rejects.toThrow(/processes are still in it/);
});

test("statistics and OOM kills", () => {
  const first = machine("v1").cgroups.create("/fathom/a");
  expect(first.oomKills()).toBe(2);
  expect(first.stats()).toMatchObject({
    memoryUsageBytes: 4096,
    memoryLimitBytes: Number.MAX_SAFE_INTEGER,
    memoryStat: { cache: 10, rss: 20 },
    cpuUsageNs: 1000n,
    cpuUserNs: 700n,
    throttledPeriods: 2,
    throttledNs: 99n,
    pids: 4,
    pidsLimit: 0,
  });
  const second = machine("v2").cgroups.create("/fathom/a");
  expect(second.oomKills()).toBe(3);
  expect(second.stats()).toMatchObject({
    memoryUsageBytes: 77,
    cpuUsageNs: 10_000n,
    throttledNs: 5000n,
    io: [
      { major: 8, minor: 0, op: "read", value: 90n },
      { major: 8, minor: 0, op: "write", value: 5n },
    ],
  });
});

test("what a machine supports", () => {
  expect(machine("v1").cgroups.support).toMatchObject({
    memorySwap: true,
    memorySwappiness: true,
    oomKillDisable: true,
    blkioWeight: false,
    availableCpus: "0-3",
  });
  expect(machine("v2").cgroups.support).toMatchObject({
    memory: true,
    memorySwappiness: false,
    oomKillDisable: false,
    blkioWeight: true,
    availableCpus: "0-3",
  });
});

for (const kind of ["v1", "v2"] as const)
  test(`a limit below the used memory is set in steps, and other work has its turn between them: ${kind}`, async () => {
    const { fs, cgroups, waits } = machine(kind);
    const cgroup = cgroups.create("/fathom/a");
    const directory = kind === "v1" ? `${root}/memory/fathom/a` : `${root}/fathom/a`;
    const [usage, limit] =
      kind === "v1" ? ["memory.usage_in_bytes", "memory.limit_in_bytes"] : ["memory.current", "memory.max"];
    const mib = 1 << 20;
    fs.files.set(`${directory}/${usage}`, `${1000 * mib}\n`);
    const original = fs.files.get(`${directory}/${limit}`)!;
    let used = 1000 * mib;
    let largest = 0;
    const limits: number[] = [];
    fs.onWrite = (path, text) => {
      if (path !== `${directory}/${limit}` || !/^\d+$/.test(text)) return;
      // The memory that the kernel must free while the write waits.
      largest = Math.max(largest, used - Number(text));
      used = Math.min(used, Number(text));
      limits.push(Number(text));
    };
    await cgroup.update({ memoryBytes: 64 * mib });
    expect(limits.at(-1)).toBe(64 * mib);
    expect(largest).toBeLessThanOrEqual(32 * mib);
    expect(waits.length).toBeGreaterThan(20);
    // More memory, and memory that is not used, is changed at once.
    limits.length = 0;
    await cgroup.update({ memoryBytes: 2000 * mib });
    expect(limits).toEqual([2000 * mib]);
    // If memory cannot be freed, the limit does not change.
    fs.files.set(`${directory}/${limit}`, original);
    fs.onWrite = (path, text) => {
      if (path === `${directory}/${limit}` && Number(text) < 500 * mib)
        throw Object.assign(new Error("busy"), { code: "EBUSY" });
    };
    await expect(cgroup.update({ memoryBytes: 64 * mib })).rejects.toThrow("that cannot be freed");
    expect(fs.files.get(`${directory}/${limit}`)).toBe(original.trim());
  });
