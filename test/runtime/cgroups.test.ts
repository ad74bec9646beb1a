/** The real cgroups of this machine, of any kind. Runs as root; uses only a parent of its own and removes it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, readFileSync } from "node:fs";
import { systemClock } from "@fathom/base";
import { openCgroups, type Cgroup } from "@fathom/runtime";
import { createCgroups, findHierarchies, hostFileSystem } from "@fathom/runtime/testing";
import { createSys } from "@fathom/sys";
import { runName } from "../run-name.ts";
import { until } from "@fathom/base/testing";

const parent = `/fathom-runtime-${runName}`;
const cgroups = openCgroups();
const made: Cgroup[] = [];

function create(name: string): Cgroup {
  const cgroup = cgroups.create(`${parent}/${name}`);
  made.push(cgroup);
  return cgroup;
}

/** Runs a shell command that joins the cgroup first. */
function run(cgroup: Cgroup, command: string): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const join = cgroup.procsFiles.map((file) => `echo 0 > ${file}`).join("; ");
  return Bun.spawn(["sh", "-c", `${join}; exec ${command}`], { stdout: "pipe", stderr: "pipe", stdin: "ignore" });
}

beforeAll(() => expect(process.getuid?.()).toBe(0));

afterAll(async () => {
  for (const cgroup of made) {
    await cgroup.kill();
    await cgroup.remove();
  }
  await cgroups.open(parent).remove();
});

test("limits are in the kernel's files, and the processes are listed, counted, frozen and killed", async () => {
  const cgroup = create("limits");
  cgroup.apply({
    memoryBytes: 64 << 20,
    memorySwapBytes: 64 << 20,
    cpuShares: 512,
    cpuQuotaUs: 50_000,
    cpuPeriodUs: 100_000,
    pids: 20,
  });
  const child = run(cgroup, "sleep 1000");
  await until("the child is alone in it", () => cgroup.processes().includes(child.pid) && cgroup.stats().pids === 1);
  expect(cgroup.stats()).toMatchObject({ memoryLimitBytes: 64 << 20, pidsLimit: 20 });
  cgroup.apply({ memoryBytes: 128 << 20, memorySwapBytes: 256 << 20 });
  cgroup.apply({ memoryBytes: 32 << 20, memorySwapBytes: 32 << 20 });
  expect(cgroup.stats().memoryLimitBytes).toBe(32 << 20);
  await cgroup.freeze();
  expect(cgroup.frozen()).toBe(true);
  await cgroup.thaw();
  expect(cgroup.frozen()).toBe(false);
  await cgroup.freeze();
  await cgroup.kill();
  await child.exited;
  expect(child.signalCode).toBe("SIGKILL");
  expect(cgroup.processes()).toEqual([]);
});

/** The hierarchies of this machine, each version separately. */
function only(version: 1 | 2): ReturnType<typeof createCgroups> | undefined {
  const hierarchies = findHierarchies(readFileSync("/proc/self/mountinfo", "utf8"), (mountPoint) =>
    version === 2 ? readFileSync(`${mountPoint}/cgroup.controllers`, "utf8") : "",
  ).hierarchies.filter((hierarchy) => hierarchy.version === version);
  if (hierarchies.length === 0) return void console.log(`skipped: this machine has no cgroup v${version} mount`);
  const kill = (pid: number, signal: number): void => void process.kill(pid, signal);
  return createCgroups(
    { version: `v${version}`, hierarchies },
    { fs: hostFileSystem, clock: systemClock, kill, sys: createSys() },
  );
}

test.each([
  ["all", cgroups],
  ["v1", only(1)],
  ["v2", only(2)],
] as const)("a group that never stops forking is ended: %s", async (name, of) => {
  if (of === undefined) return;
  const cgroup = of.create(`${parent}/crowd-${name}`);
  made.push(cgroup);
  if (of.controllers.includes("pids")) cgroup.apply({ pids: 400 });
  const crowd = "for i in $(seq 100); do (while :; do sleep 0.01; done) & done; wait";
  const child = run(cgroup, `sh -c '${crowd}' 2>/dev/null`);
  await until("most have been born", () => cgroup.processes().length > 90);
  await cgroup.kill();
  await child.exited;
  expect(cgroup.processes()).toEqual([]);
  await cgroup.remove();
});

test("an OOM kill is seen after the exit", async () => {
  const cgroup = create("oom");
  cgroup.apply({ memoryBytes: 8 << 20, memorySwapBytes: 8 << 20 });
  const child = run(cgroup, "tail /dev/zero");
  expect(await child.exited).toBe(137);
  expect(cgroup.oomKills()).toBe(1);
});

test("devices: allowed ones open, the others do not", async () => {
  const cgroup = create("devices");
  cgroup.apply({
    devices: [
      { allow: false, type: "a", access: "rwm" },
      { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    ],
  });
  const child = run(cgroup, `sh -c 'true < /dev/null && echo null; true < /dev/zero || echo denied' 2>/dev/null`);
  expect(await new Response(child.stdout).text()).toBe("null\ndenied\n");
});

test("v2: the kernel accepts the device program and follows it", async () => {
  const unified = only(2);
  if (unified === undefined) return;
  const cgroup = unified.create(`${parent}/program`);
  made.push(cgroup);
  const attempt = async (): Promise<string> => {
    const script = `sh -c '(: < /dev/null) && echo null; (: > /dev/full) && echo full; (: < /dev/zero) && echo zero' 2>/dev/null`;
    return new Response(run(cgroup, script).stdout).text();
  };
  expect(await attempt()).toBe("null\nfull\nzero\n");
  const one = { allow: true, type: "c", major: 1 } as const;
  const deny = { allow: false, type: "a", access: "rwm" } as const;
  // The shell's own redirections need /dev/null.
  cgroup.apply({ devices: [deny, { ...one, minor: 3, access: "rw" }, { ...one, minor: 7, access: "r" }] });
  expect(await attempt()).toBe("null\n");
  // The new program replaces the earlier one: the earlier one must not continue to reject.
  cgroup.apply({ devices: [deny, { ...one, access: "rw" }] });
  expect(await attempt()).toBe("null\nfull\nzero\n");
});

test("cgroups made inside are removed with it; leftovers of a crash are replaced", async () => {
  const cgroup = create("nested");
  const place = cgroup.hierarchies[0]!.directory;
  const inner = cgroups.create(`${parent}/nested/a/b`);
  const child = run(inner, "sleep 1000");
  await until("the child is in it", () => cgroup.processes().includes(child.pid));
  expect(() => cgroups.create(`${parent}/nested`)).toThrow(/has processes in it/);
  await cgroup.kill();
  await child.exited;
  cgroups.create(`${parent}/nested`);
  await cgroup.remove();
  expect(() => appendFileSync(`${place}/cgroup.procs`, "0")).toThrow(/ENOENT/);
});

test("creating and removing is quick", async () => {
  create("warm");
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    const start = performance.now();
    const cgroup = cgroups.create(`${parent}/quick`);
    times.push(performance.now() - start);
    await cgroup.remove();
  }
  const median = times.sort((a, b) => a - b)[10]!;
  console.log(`create: median ${median.toFixed(2)} ms for ${made[0]!.hierarchies.length} hierarchies`);
  // Far above what it needs (about half a millisecond): other work may run on this machine.
  expect(median).toBeLessThan(10);
});
