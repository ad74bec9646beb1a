import { expect, test } from "bun:test";
import type { DeviceRule } from "./contract.ts";
import { createCgroups } from "./cgroups.ts";
import { allDevices, evaluateDeviceRules, formatException, type DeviceAccess } from "./device-access.ts";
import { bpf, deviceInstructions, encodeInstructions, jumpAlways } from "./device-program.ts";
import { FakeCgroupFileSystem } from "../testing/fake-cgroup-filesystem.ts";
import { resourcesFromOci } from "./resources.ts";

const rule = (text: string): DeviceRule => {
  const [sign, type, numbers = "", access = "rwm"] = text.split(" ");
  const [major, minor] = numbers.split(":");
  const number = (value: string | undefined): number | undefined =>
    value === undefined || value === "*" || value === "" ? undefined : Number(value);
  const [first, second] = [number(major), number(minor)];
  return {
    allow: sign === "+",
    type: type === "a" ? "a" : type === "b" ? "b" : "c",
    ...(first === undefined ? {} : { major: first }),
    ...(second === undefined ? {} : { minor: second }),
    access,
  };
};

const evaluate = (...rules: string[]): string => {
  const access = evaluateDeviceRules(rules.map(rule));
  return [access.defaultAllow ? "all" : "none", ...access.exceptions.map(formatException)].join(", ");
};

test("rules become a default and exceptions, as in the kernel's v1 controller", () => {
  expect(evaluate()).toBe("all");
  expect(evaluate("- a", "+ c 1:3 rwm", "+ c 1:3 r", "+ c *:* m")).toBe("none, c 1:3 rwm, c *:* m");
  expect(evaluate("- a", "+ c 1:3 rw", "- c 1:3 w")).toBe("none, c 1:3 r");
  expect(evaluate("- a", "+ c 1:3 rw", "- c 1:3 rwm")).toBe("none");
  // Only an exception with exactly these numbers is removed.
  expect(evaluate("- a", "+ c 1:* rw", "- c 1:3 rw")).toBe("none, c 1:* rw");
  expect(evaluate("- b 8:0 w", "- b 8:0 r", "+ b 8:0 w")).toBe("all, b 8:0 r");
  expect(evaluate("- a", "+ c 1:3 r", "+ a")).toBe("all");
});

/** A small interpreter of the used instructions, run on the bytes that the kernel would get. */
function decide(program: Uint8Array, type: "b" | "c", major: number, minor: number, access: string): boolean {
  const view = new DataView(program.buffer);
  const bits = [...access].reduce((sum, letter) => sum | ({ m: 1, r: 2, w: 4 }[letter] ?? 0), 0);
  const context = [(bits << 16) | (type === "b" ? 1 : 2), major, minor];
  const registers = Array.from({ length: 10 }, () => 0);
  for (let at = 0, steps = 0; steps < 10_000; at++, steps++) {
    const code = view.getUint8(at * 8);
    const destination = view.getUint8(at * 8 + 1) & 0xf;
    const source = view.getUint8(at * 8 + 1) >> 4;
    const offset = view.getInt16(at * 8 + 2, true);
    const immediate = view.getInt32(at * 8 + 4, true);
    // Register 1 is the context until it is overwritten; the kernel's verifier checks the same.
    if (code === bpf.loadWord) registers[destination] = context[offset / 4] ?? Number.NaN;
    else if (code === bpf.moveImmediate) registers[destination] = immediate;
    else if (code === bpf.moveWord) registers[destination] = registers[source]!;
    else if (code === bpf.andWord) registers[destination]! &= immediate;
    else if (code === bpf.shiftRightWord) registers[destination]! >>>= immediate;
    else if (code === bpf.jumpNotEqual) at += registers[destination] === immediate ? 0 : offset;
    else if (code === jumpAlways) at += offset;
    else if (code === bpf.exit) return registers[0] === 1;
    else throw new Error(`instruction ${code}`);
  }
  throw new Error("no end");
}

/** The kernel's v1 rule, written independently: a request is allowed if one exception covers it, and denied if one exception touches it. */
function expected(access: DeviceAccess, type: "b" | "c", major: number, minor: number, request: string): boolean {
  const matching = access.exceptions.filter(
    (one) => one.type === type && (one.major ?? major) === major && (one.minor ?? minor) === minor,
  );
  return access.defaultAllow
    ? !matching.some((one) => [...request].some((letter) => one.access.includes(letter)))
    : matching.some((one) => [...request].every((letter) => one.access.includes(letter)));
}

test("the v2 program decides as v1 does, for thousands of random rules and requests", () => {
  let seed = 42;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const accesses = ["r", "w", "m", "rw", "rm", "wm", "rwm"];
  for (let round = 0; round < 200; round++) {
    const rules = Array.from({ length: random(9) }, (): DeviceRule => {
      const major = random(4);
      const minor = random(4);
      const type = (["a", "b", "c", "c"] as const)[random(4)]!;
      return {
        allow: random(2) === 0,
        type,
        ...(major === 3 ? {} : { major }),
        ...(minor === 3 ? {} : { minor }),
        access: accesses[random(7)]!,
      };
    });
    const access = evaluateDeviceRules(rules);
    const program = encodeInstructions(deviceInstructions(access));
    for (const type of ["b", "c"] as const)
      for (let major = 0; major < 4; major++)
        for (let minor = 0; minor < 4; minor++)
          for (const request of accesses)
            expect(decide(program, type, major, minor, request)).toBe(expected(access, type, major, minor, request));
  }
});

const docker = resourcesFromOci({
  devices: [
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
    { allow: false, type: "c", major: 10, minor: 229, access: "rwm" },
  ],
});

test("v1 files get the whole list; a new cgroup of a privileged container gets nothing", () => {
  const fs = new FakeCgroupFileSystem();
  fs.mount("/devices", {}, { "cgroup.procs": "", "devices.allow": "", "devices.deny": "" });
  const clock = { monotonicMs: () => 0, sleep: async () => {} };
  const cgroups = createCgroups(
    { version: "v1", hierarchies: [{ version: 1, mountPoint: "/devices", controllers: ["devices"] }] },
    { fs, clock, kill: () => {} },
  );
  cgroups.create("/a").apply(docker);
  expect(fs.log).toEqual([
    "mkdir /devices/a",
    "/devices/a/devices.deny ← a",
    "/devices/a/devices.allow ← c 1:5 rwm",
    "/devices/a/devices.allow ← c *:* m",
    "/devices/a/devices.allow ← b *:* m",
    ...["1:3", "1:8", "1:7", "5:0", "1:9", "136:*", "5:2", "10:200"].map(
      (numbers) => `/devices/a/devices.allow ← c ${numbers} rwm`,
    ),
  ]);
  fs.log.length = 0;
  cgroups.create("/b").apply({ devices: [{ allow: true, type: "a", access: "rwm" }] });
  expect(fs.log).toEqual(["mkdir /devices/b"]);
  // For a found cgroup, nothing is known.
  cgroups.open("/b").apply({ devices: [{ allow: true, type: "a", access: "rwm" }] });
  expect(fs.log).toEqual(["mkdir /devices/b", "/devices/b/devices.allow ← a"]);
});

test("v2 loads a program and replaces it at the next change", () => {
  const fs = new FakeCgroupFileSystem();
  fs.mount(
    "/u",
    { "cgroup.controllers": "", "cgroup.subtree_control": "" },
    { "cgroup.procs": "", "cgroup.subtree_control": "" },
  );
  const calls: string[] = [];
  let next = 100;
  const sys = {
    open: (path: string | Uint8Array) => (calls.push(`open ${String(path)}`), 7),
    close: (fd: number) => void calls.push(`close ${fd}`),
    bpfLoadDeviceProgram: (instructions: Uint8Array) => (calls.push(`load ${instructions.length / 8}`), next++),
    bpfAttachDevice: (cgroup: number, program: number, replace?: number) =>
      void calls.push(`attach ${cgroup} ${program} ${replace ?? "-"}`),
  };
  const cgroups = createCgroups(
    { version: "v2", hierarchies: [{ version: 2, mountPoint: "/u", controllers: [] }] },
    { fs, clock: { monotonicMs: () => 0, sleep: async () => {} }, kill: () => {}, sys },
  );
  const cgroup = cgroups.create("/a");
  cgroup.apply({ devices: [] });
  expect(calls).toEqual([]);
  cgroup.apply(docker);
  cgroup.apply({ devices: [{ allow: true, type: "a", access: "rwm" }] });
  expect(calls).toEqual([
    `load ${deviceInstructions(evaluateDeviceRules(docker.devices!)).length}`,
    "open /u/a",
    "attach 7 100 -",
    "close 7",
    `load ${deviceInstructions(allDevices).length}`,
    "open /u/a",
    "attach 7 101 100",
    "close 7",
    "close 100",
  ]);
});

test("OCI resources: what is accepted, what is rejected", () => {
  expect(
    resourcesFromOci({
      memory: { limit: 2n ** 62n, swap: -1 },
      cpu: { shares: 5, cpus: "" },
      pids: { limit: undefined },
      devices: [],
    }),
  ).toMatchObject({
    memoryBytes: Number.MAX_SAFE_INTEGER,
    memorySwapBytes: -1,
    cpuShares: 5,
  });
  expect(() => resourcesFromOci({ blockIO: { leafWeight: 10 } })).toThrow(/leafWeight: not supported yet/);
  expect(() => resourcesFromOci({ devices: [{ allow: true, major: 1 }] })).toThrow(/cannot name numbers/);
  expect(resourcesFromOci({ blockIO: { weightDevice: [], weight: undefined } }).blkioWeight).toBeUndefined();
});
