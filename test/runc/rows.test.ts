/**
 * Members of the specification that no other test of this folder shows: what the kernel then says of the container. And members that are not supported:
 * each is an error, and nothing is made. docs/fathom-runc-specification.md names the test of each member.
 */
import { afterAll, afterEach, expect, test } from "bun:test";
import { chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseProcessStat } from "@fathom/sys";
import { defaultMounts, RuncRig, type BundleChange } from "./rig.ts";

const rig = new RuncRig();
afterEach(async () => {
  await rig.clean();
  expect(rig.left()).toEqual([]);
});
afterAll(() => rig[Symbol.dispose]());

async function running(change: BundleChange): Promise<{ pid: number; cgroup: string }> {
  const bundle = rig.bundle({ args: ["sleep", "1000"], ...change });
  await rig.ok("run", "--detach", "--bundle", bundle, "one");
  const cgroup = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")).linux.cgroupsPath;
  return { pid: JSON.parse(await rig.ok("state", "one")).pid, cgroup };
}

/** The output of a container's program. */
async function output(script: string, change: BundleChange = {}): Promise<string> {
  return rig.ok("run", "--bundle", rig.bundle({ args: ["sh", "-c", script], ...change }), "one");
}

const kinds = (...more: string[]): object[] =>
  ["pid", "network", "ipc", "uts", "mount", ...more].map((type) => ({ type }));

function settingOf(cgroup: string, file: string): string {
  for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
    try {
      return readFileSync(join("/sys/fs/cgroup", hierarchy, cgroup, file), "utf8").trim();
    } catch {
      // Not in this hierarchy.
    }
  }
  throw new Error(`no hierarchy has ${file}`);
}

test("time offsets", async () => {
  const days = 1000;
  const timeOffsets = { monotonic: { secs: days * 86_400 }, boottime: { secs: days * 86_400, nanosecs: 5 } };
  const up = Number(
    (await output("cat /proc/uptime", { linux: { namespaces: kinds("time"), timeOffsets } })).split(".")[0],
  );
  expect(up).toBeGreaterThan(days * 86_400);
  const { pid } = await running({ linux: { namespaces: kinds("time"), timeOffsets } });
  expect(readFileSync(`/proc/${pid}/timens_offsets`, "utf8")).toMatch(/monotonic +86400000 +0\nboottime +86400000 +5/);
});

function sharedFolder(name: string): string {
  const folder = join(rig.base, name);
  mkdirSync(join(folder, "inner"), { recursive: true });
  writeFileSync(join(folder, "file"), "content\n");
  chownSync(join(folder, "file"), 1000, 1001);
  return folder;
}

test("a mount with mapped owners", async () => {
  const source = sharedFolder("mapped");
  const map = (hostID: number, containerID: number): object[] => [{ containerID, hostID, size: 1 }];
  const mount = (options: string[]): object => ({
    destination: "/tmp/mapped",
    type: "bind",
    source,
    options,
    uidMappings: map(5, 1000),
    gidMappings: map(6, 1001),
  });
  for (const options of [["bind", "idmap"], ["rbind", "ridmap"], ["bind"]])
    expect(await output("stat -c '%u %g' /tmp/mapped/file", { mounts: [...defaultMounts, mount(options)] })).toBe(
      "5 6\n",
    );
  expect(
    await output("stat -c '%u %g' /tmp/mapped/file", {
      mounts: [...defaultMounts, { ...mount(["bind"]), uidMappings: [], gidMappings: [] }],
    }),
  ).toBe("1000 1001\n");
});

test("attributes of a whole tree of mounts", async () => {
  const source = sharedFolder("tree");
  const mounts = (option: string): object[] => [
    ...defaultMounts,
    { destination: "/tmp/tree", type: "bind", source, options: ["rbind", option] },
  ];
  const inner = join(source, "inner");
  Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", inner]);
  try {
    const look =
      "touch /tmp/tree/inner/x 2>/dev/null && echo writable; grep ' /tmp/tree' /proc/self/mountinfo | cut -d' ' -f6";
    expect(await output(look, { mounts: mounts("ro") })).toMatch(/^writable\nro\S*\nrw\S*\n$/);
    expect(await output(look, { mounts: mounts("rro") })).toMatch(/^ro\S*\nro\S*\n$/);
    expect(await output(look, { mounts: mounts("rnoexec") })).toMatch(/^writable\nrw\S*noexec\S*\nrw\S*noexec\S*\n$/);
  } finally {
    Bun.spawnSync(["umount", inner]);
  }
});

test("a tmpfs that begins with the image's content", async () => {
  const mount = { destination: "/etc", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] };
  writeFileSync(join(rig.rootfs, "etc/given"), "given\n");
  expect(await output("cat /etc/given; touch /etc/x && echo ok", { mounts: [...defaultMounts, mount] })).toBe(
    "given\nok\n",
  );
  expect(readdirSync(join(rig.rootfs, "etc"))).not.toContain("x");
});

test("the scheduler and the I/O priority", async () => {
  const { pid } = await running({
    process: {
      scheduler: { policy: "SCHED_BATCH", nice: 5 },
      ioPriority: { class: "IOPRIO_CLASS_BE", priority: 3 },
    },
  });
  const { field } = parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  // proc_pid_stat(5): nice and policy; SCHED_BATCH is 3.
  expect([field(19), field(41)]).toEqual(["5", "3"]);
  expect(
    Bun.spawnSync(["ionice", "-p", String(pid)])
      .stdout.toString()
      .trim(),
  ).toBe("best-effort: prio 3");
});

test("the processors of an exec", async () => {
  await running({ process: { execCPUAffinity: { final: "0" } } });
  expect(await rig.ok("exec", "one", "grep", "Cpus_allowed_list", "/proc/self/status")).toBe("Cpus_allowed_list:\t0\n");
});

test("the names of the container", async () => {
  const look = "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname";
  expect(await output(look, { whole: { hostname: "host", domainname: "domain" } })).toBe("host\ndomain\n");
});

test("seccomp's actions", async () => {
  const seccomp = (action: string, more: object = {}): BundleChange => ({
    linux: {
      seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir", "mkdirat"], action, ...more }] },
    },
  });
  const script = "busybox mkdir /tmp/made 2>&1; echo $?; busybox rmdir /tmp/made 2>/dev/null; true";
  expect(await output(script, seccomp("SCMP_ACT_ERRNO", { errnoRet: 28 }))).toContain("No space left on device");
  expect(await output(script, seccomp("SCMP_ACT_LOG"))).toBe("0\n");
  // SIGSYS is 31.
  for (const action of ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"])
    expect(await output(script, seccomp(action))).toContain("159\n");
  expect(await output(script, seccomp("SCMP_ACT_TRACE"))).toContain("Function not implemented");
});

test("limits that are one value in one file", async () => {
  const disk = readdirSync("/sys/block").find((name) => /^(vd|sd|nvme|loop)/.test(name))!;
  const number = readFileSync(join("/sys/block", disk, "dev"), "utf8").trim();
  const [major, minor] = number.split(":").map(Number);
  const { cgroup } = await running({
    linux: {
      resources: {
        cpu: { quota: 50_000, period: 100_000, burst: 20_000 },
        blockIO: {
          throttleReadBpsDevice: [{ major, minor, rate: 1_048_576 }],
          throttleWriteIOPSDevice: [{ major, minor, rate: 100 }],
        },
        memory: { kernelTCP: 8_388_608 },
      },
    },
  });
  expect(settingOf(cgroup, "cpu.cfs_burst_us")).toBe("20000");
  expect(settingOf(cgroup, "blkio.throttle.read_bps_device")).toBe(`${number} 1048576`);
  expect(settingOf(cgroup, "blkio.throttle.write_iops_device")).toBe(`${number} 100`);
  expect(settingOf(cgroup, "memory.kmem.tcp.limit_in_bytes")).toBe("8388608");
});

/** What this version, or this machine, does not have. */
const refused: readonly (readonly [string, BundleChange, string])[] = [
  ["process.apparmorProfile", { process: { apparmorProfile: "p" } }, "process.apparmorProfile is not supported yet"],
  ["process.selinuxLabel", { process: { selinuxLabel: "l" } }, "process.selinuxLabel is not supported yet"],
  ["linux.mountLabel", { linux: { mountLabel: "l" } }, "linux.mountLabel: not supported yet"],
  ["linux.intelRdt", { linux: { intelRdt: { closID: "c" } } }, "linux.intelRdt: not supported yet"],
  [
    "linux.memoryPolicy",
    { linux: { memoryPolicy: { mode: "MPOL_BIND", nodes: "0" } } },
    "linux.memoryPolicy: not supported yet",
  ],
  ["linux.netDevices", { linux: { netDevices: { eth0: {} } } }, "linux.netDevices: not supported yet"],
  [
    "linux.seccomp.listenerPath",
    { linux: { seccomp: { defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/l" } } },
    "linux.seccomp.listenerPath",
  ],
  [
    "linux.resources.memory.kernel",
    { linux: { resources: { memory: { kernel: 1 } } } },
    "linux.resources.memory.kernel: not supported yet",
  ],
  [
    "linux.resources.blockIO.leafWeight",
    { linux: { resources: { blockIO: { leafWeight: 10 } } } },
    "linux.resources.blockIO.leafWeight: not supported yet",
  ],
  [
    "linux.resources.hugepageLimits",
    { linux: { resources: { hugepageLimits: [{ pageSize: "2MB", limit: 1 }] } } },
    "cannot set hugepageLimits: ",
  ],
  [
    "linux.resources.network.classID",
    { linux: { resources: { network: { classID: 1 } } } },
    "cannot set network.classID: this machine has no cgroup controller for it",
  ],
  [
    "linux.resources.unified",
    { linux: { resources: { unified: { "memory.max": "1000000" } } } },
    "cannot set unified memory.max: this machine has no cgroup controller for it",
  ],
  [
    "a clock",
    { linux: { namespaces: kinds("time"), timeOffsets: { realtime: { secs: 1 } } } },
    'linux.timeOffsets: there is no clock "realtime"',
  ],
  [
    "a scheduling policy",
    { process: { scheduler: { policy: "SCHED_BEST" } } },
    'process.scheduler.policy: "SCHED_BEST" is not known',
  ],
  ["a member of the wrong type", { process: { user: { uid: "root", gid: 0 } } }, "process.user.uid: expected"],
];
for (const [member, change, text] of refused)
  test(`refused: ${member}`, async () => {
    const { code, err } = await rig.call("create", "--bundle", rig.bundle(change), "one");
    expect({ code, err: err.replaceAll(String.raw`\"`, '"') }).toMatchObject({
      code: 1,
      err: expect.stringContaining(text),
    });
    expect(rig.left()).toEqual([]);
  });

test("the document names tests that exist", () => {
  const document = readFileSync(resolve(import.meta.dir, "../../docs/fathom-runc-specification.md"), "utf8");
  const named = [...document.matchAll(/`(\w+)\.test\.ts`: "([^"]+)"/g)];
  expect(named.length).toBeGreaterThan(30);
  for (const [, file = "", name = ""] of named)
    expect([name, readFileSync(join(import.meta.dir, `${file}.test.ts`), "utf8").includes(name)]).toEqual([name, true]);
});
