/** Every member of a config.json: whether the decoder accepts it when it is absent, null, or of a wrong type. */
import { describe, expect, test } from "bun:test";
import { checkOciSpec } from "./runtime.ts";

const idMapping = { containerID: 0, hostID: 1000, size: 1 };
const throttle = { major: 8, minor: 0, rate: 1 };
const hook = { path: "/h", args: ["h"], env: ["A=1"], timeout: 1 };

/** A document that has every Linux member of the specification. */
const full = {
  ociVersion: "1.3.0",
  root: { path: "rootfs", readonly: true },
  mounts: [
    {
      destination: "/d",
      type: "bind",
      source: "/s",
      subpath: "in",
      options: ["ro"],
      uidMappings: [idMapping],
      gidMappings: [idMapping],
    },
  ],
  process: {
    terminal: true,
    consoleSize: { height: 1, width: 1 },
    user: { uid: 0, gid: 0, umask: 18, additionalGids: [1], username: "u" },
    args: ["sh"],
    commandLine: "sh",
    env: ["A=1"],
    cwd: "/",
    capabilities: {
      bounding: ["CAP_KILL"],
      effective: ["CAP_KILL"],
      inheritable: ["CAP_KILL"],
      permitted: ["CAP_KILL"],
      ambient: ["CAP_KILL"],
    },
    rlimits: [{ type: "RLIMIT_CORE", soft: 1, hard: 1 }],
    noNewPrivileges: true,
    apparmorProfile: "p",
    oomScoreAdj: 1,
    scheduler: { policy: "SCHED_OTHER", nice: 1, priority: 1, flags: ["f"], runtime: 1, deadline: 1, period: 1 },
    selinuxLabel: "l",
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 1 },
    execCPUAffinity: { initial: "0", final: "0" },
  },
  hostname: "h",
  domainname: "d",
  hooks: {
    prestart: [hook],
    createRuntime: [hook],
    createContainer: [hook],
    startContainer: [hook],
    poststart: [hook],
    poststop: [hook],
  },
  annotations: { a: "b" },
  linux: {
    uidMappings: [idMapping],
    gidMappings: [idMapping],
    sysctl: { "net.x": "1" },
    resources: {
      devices: [{ allow: true, type: "c", major: 1, minor: 1, access: "rwm" }],
      memory: {
        limit: 1,
        reservation: 1,
        swap: 1,
        kernel: 1,
        kernelTCP: 1,
        swappiness: 1,
        disableOOMKiller: true,
        useHierarchy: true,
        checkBeforeUpdate: true,
      },
      cpu: {
        shares: 1,
        quota: 1,
        burst: 1,
        period: 1,
        realtimeRuntime: 1,
        realtimePeriod: 1,
        cpus: "0",
        mems: "0",
        idle: 1,
      },
      pids: { limit: 1 },
      blockIO: {
        weight: 1,
        leafWeight: 1,
        weightDevice: [{ major: 8, minor: 0, weight: 1, leafWeight: 1 }],
        throttleReadBpsDevice: [throttle],
        throttleWriteBpsDevice: [throttle],
        throttleReadIOPSDevice: [throttle],
        throttleWriteIOPSDevice: [throttle],
      },
      hugepageLimits: [{ pageSize: "2MB", limit: 1 }],
      network: { classID: 1, priorities: [{ name: "eth0", priority: 1 }] },
      rdma: { mlx: { hcaHandles: 1, hcaObjects: 1 } },
      unified: { "memory.max": "1" },
    },
    cgroupsPath: "/c",
    namespaces: [{ type: "pid", path: "/n" }],
    devices: [{ type: "c", path: "/dev/x", major: 1, minor: 1, fileMode: 438, uid: 0, gid: 0 }],
    netDevices: { eth0: { name: "eth1" } },
    seccomp: {
      defaultAction: "SCMP_ACT_ALLOW",
      defaultErrnoRet: 1,
      architectures: ["SCMP_ARCH_X86_64"],
      flags: ["f"],
      listenerPath: "/l",
      listenerMetadata: "m",
      syscalls: [
        {
          names: ["read"],
          action: "SCMP_ACT_ERRNO",
          errnoRet: 1,
          args: [{ index: 0, value: 1, valueTwo: 1, op: "SCMP_CMP_EQ" }],
        },
      ],
    },
    rootfsPropagation: "private",
    maskedPaths: ["/p"],
    readonlyPaths: ["/p"],
    mountLabel: "l",
    intelRdt: { closID: "c", schemata: ["s"], l3CacheSchema: "l", memBwSchema: "m", enableMonitoring: true },
    memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["f"] },
    personality: { domain: "LINUX", flags: ["f"] },
    timeOffsets: { monotonic: { secs: 1, nanosecs: 1 } },
  },
};

/** Required members. `*` stands for keys and indexes that the writer chooses. */
const required = new Set(
  `
ociVersion root.path mounts.*.destination mounts.*.*Mappings.*.containerID mounts.*.*Mappings.*.hostID mounts.*.*Mappings.*.size
process.cwd process.user.uid process.user.gid process.consoleSize.height process.consoleSize.width process.rlimits.*.type process.rlimits.*.soft
process.rlimits.*.hard process.scheduler.policy process.ioPriority.class hooks.*.*.path linux.*Mappings.*.containerID linux.*Mappings.*.hostID
linux.*Mappings.*.size linux.resources.devices.*.allow linux.resources.blockIO.weightDevice.*.major linux.resources.blockIO.weightDevice.*.minor
linux.resources.blockIO.throttle*.*.major linux.resources.blockIO.throttle*.*.minor linux.resources.blockIO.throttle*.*.rate
linux.resources.hugepageLimits.*.pageSize linux.resources.hugepageLimits.*.limit linux.resources.network.priorities.*.name
linux.resources.network.priorities.*.priority linux.namespaces.*.type linux.devices.*.type linux.devices.*.path linux.seccomp.defaultAction
linux.seccomp.syscalls.*.names linux.seccomp.syscalls.*.action linux.seccomp.syscalls.*.args.*.index linux.seccomp.syscalls.*.args.*.value
linux.seccomp.syscalls.*.args.*.op linux.memoryPolicy.mode linux.personality.domain`
    .trim()
    .split(/\s+/),
);

/** Members that may be absent but not null. */
const notNull = new Set(
  `
root.readonly mounts.*.type mounts.*.source mounts.*.subpath hostname domainname process.terminal process.user process.user.username
process.commandLine process.noNewPrivileges process.apparmorProfile process.scheduler.nice process.scheduler.priority process.scheduler.runtime
process.scheduler.deadline process.scheduler.period process.selinuxLabel process.ioPriority.priority process.execCPUAffinity.initial
process.execCPUAffinity.final linux.resources.devices.*.type linux.resources.devices.*.access linux.resources.memory.* linux.resources.cpu.*
linux.cgroupsPath linux.namespaces.*.path linux.devices.*.major linux.devices.*.minor linux.netDevices.*.name linux.seccomp.listenerPath
linux.seccomp.listenerMetadata linux.seccomp.syscalls.*.args.*.valueTwo linux.rootfsPropagation linux.mountLabel linux.intelRdt.closID
linux.intelRdt.l3CacheSchema linux.intelRdt.memBwSchema linux.intelRdt.enableMonitoring linux.memoryPolicy.nodes linux.timeOffsets.*.secs
linux.timeOffsets.*.nanosecs`
    .trim()
    .split(/\s+/),
);

/** Entries of lists, and of maps whose keys the writer chooses: never absent, never null. */
const entries =
  /(?:\.\d+|^annotations\.a|\.sysctl\.net\.x|\.unified\.memory\.max|\.rdma\.mlx|\.netDevices\.eth0|\.timeOffsets\.monotonic)$/;

type Keys = readonly (string | number)[];

function* membersOf(value: unknown, path: Keys = []): Generator<{ path: Keys; value: unknown }> {
  if (path.length > 0) yield { path, value };
  if (typeof value !== "object" || value === null) return;
  for (const [key, entry] of Object.entries(value))
    yield* membersOf(entry, [...path, Array.isArray(value) ? Number(key) : key]);
}

/** The full document with another value at `path`, or without that member. */
function changed(path: Keys, value?: { readonly value: unknown }): unknown {
  const copy: unknown = JSON.parse(JSON.stringify(full)); // Not structuredClone: some parts occur several times in `full`.
  let place = copy as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) place = place[key] as Record<string | number, unknown>;
  const last = path.at(-1)!;
  if (value === undefined) delete place[last];
  else place[last] = value.value;
  return copy;
}

function named(set: ReadonlySet<string>, path: Keys): boolean {
  const text = path.join(".");
  return [...set].some((pattern) =>
    new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^.]*")}$`).test(text),
  );
}

const inMessage = (path: Keys): string =>
  path.map((key, index) => (typeof key === "number" ? `[${key}]` : index === 0 ? key : `.${key}`)).join("");

test("the full document keeps every member", () => {
  expect(checkOciSpec(full) as unknown).toEqual(full);
});

describe("each member", () => {
  const members = [...membersOf(full)];
  for (const { path, value } of members) {
    const where = inMessage(path);
    const entry = entries.test(path.join("."));
    const must = named(required, path);
    test(`${where} of a wrong type is refused`, () => {
      const wrong = typeof value === "object" ? "text" : [value];
      expect(() => checkOciSpec(changed(path, { value: wrong }))).toThrow(`config.json: ${where}: `);
    });
    test(`${where} null is ${entry || must || named(notNull, path) ? "refused" : "absent"}`, () => {
      const document = changed(path, { value: null });
      if (entry || must || named(notNull, path))
        expect(() => checkOciSpec(document)).toThrow(`config.json: ${where}: `);
      else expect(checkOciSpec(document)).toEqual(checkOciSpec(changed(path)));
    });
    if (entry) continue;
    test(`${where} absent is ${must ? "refused" : "taken"}`, () => {
      if (must) expect(() => checkOciSpec(changed(path))).toThrow(`config.json: ${where}: `);
      else expect(() => checkOciSpec(changed(path))).not.toThrow();
    });
  }
  test("the tables contain no other paths", () => {
    for (const set of [required, notNull])
      for (const pattern of set)
        expect([pattern, members.some(({ path }) => named(new Set([pattern]), path))]).toEqual([pattern, true]);
  });
});

describe("values", () => {
  const cases: readonly (readonly [Keys, readonly unknown[], readonly unknown[]])[] = [
    [["root", "path"], ["r"], [""]],
    [["mounts", 0, "destination"], ["d"], [""]],
    [
      ["mounts", 0, "uidMappings", 0, "size"],
      [0, 4294967295],
      [-1, 4294967296, 1.5, 1n],
    ],
    [
      ["process", "cwd"],
      ["/", "/a"],
      ["", "a"],
    ],
    [
      ["process", "user", "uid"],
      [0, 4294967295],
      [-1, 4294967296],
    ],
    [["process", "consoleSize", "height"], [0], [-1]],
    [
      ["process", "oomScoreAdj"],
      [-1000, 1000],
      [-1001, 1001],
    ],
    [
      ["process", "rlimits", 0, "soft"],
      [0, 2n ** 64n - 1n],
      [-1, -1n, 0.5, 2 ** 53],
    ],
    [["process", "scheduler", "nice"], [-20], [2n, 0.5]],
    [["process", "ioPriority", "class"], ["IOPRIO_CLASS_RT"], ["IOPRIO_CLASS_NONE"]],
    [["hooks", "poststop", 0, "path"], ["/x"], ["x"]],
    [["hooks", "poststop", 0, "timeout"], [1], [0, -1]],
    [
      ["linux", "namespaces", 0, "type"],
      ["mount", "network", "ipc", "uts", "cgroup", "user", "time"],
      ["net", ""],
    ],
    [
      ["linux", "devices", 0, "type"],
      ["b", "u", "p"],
      ["a", ""],
    ],
    [["linux", "devices", 0, "path"], ["/dev/null"], ["dev/null"]],
    [
      ["linux", "resources", "devices", 0, "type"],
      ["a", "b", ""],
      ["u", "x"],
    ],
    [
      ["linux", "resources", "devices", 0, "access"],
      ["", "r", "mw"],
      ["x", "r "],
    ],
    [
      ["linux", "resources", "memory", "limit"],
      [-1, 2n ** 62n],
      [0.5, 2 ** 53],
    ],
    [
      ["linux", "resources", "cpu", "shares"],
      [0, 2n ** 62n],
      [-1, -1n],
    ],
    [
      ["linux", "resources", "blockIO", "weight"],
      [0, 65535],
      [-1, 65536],
    ],
    [["linux", "resources", "pids", "limit"], [-1], [1n, 0.5]],
    [["linux", "seccomp", "defaultAction"], ["SCMP_ACT_NOTIFY"], ["SCMP_ACT_MAYBE"]],
    [
      ["linux", "seccomp", "syscalls", 0, "args", 0, "index"],
      [0, 5],
      [-1, 6],
    ],
    [["linux", "seccomp", "syscalls", 0, "args", 0, "value"], [0, 2n ** 64n - 1n], [-1]],
    [["linux", "seccomp", "syscalls", 0, "args", 0, "op"], ["SCMP_CMP_MASKED_EQ"], ["EQ"]],
    [["linux", "personality", "domain"], ["LINUX32"], ["linux"]],
    [["linux", "timeOffsets", "monotonic", "secs"], [-1, 2n ** 62n], [0.5]],
  ];
  for (const [path, good, bad] of cases)
    test(inMessage(path), () => {
      for (const value of good) expect(() => checkOciSpec(changed(path, { value }))).not.toThrow();
      for (const value of bad)
        expect(() => checkOciSpec(changed(path, { value }))).toThrow(`config.json: ${inMessage(path)}: `);
    });
});
