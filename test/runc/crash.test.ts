/** Calls that are killed or fail at every point: afterwards `delete --force` leaves nothing, and a failed call has left nothing by itself. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "@fathom/base/testing";
import { defaultMounts, finished, RuncRig, type BundleChange } from "./rig.ts";

const rig = new RuncRig();
afterEach(async () => {
  await rig.clean();
  expect(rig.left()).toEqual([]);
});
afterAll(() => rig[Symbol.dispose]());

/** Processes of this rig's containers: the program of each has the mark in its arguments. */
function marked(mark: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(mark);
    } catch {
      return false;
    }
  });
}

const hook = (script: string): object => ({ path: "/bin/sh", args: ["sh", "-c", script] });

test("a creation that is killed at any moment is cleaned by delete --force", async () => {
  const bundle = rig.bundle({ args: ["sleep", "987654"], whole: { hooks: { createRuntime: [hook("exit 0")] } } });
  const seen = new Set<string>();
  const before = performance.now();
  await rig.ok("create", "--bundle", bundle, "whole");
  const wholeMs = performance.now() - before;
  await rig.ok("delete", "--force", "whole");
  for (let at = 0; at < 40; at++) {
    const id = `c${at}`;
    const child = Bun.spawn(rig.command("create", "--bundle", bundle, id), { stdio: ["ignore", "ignore", "ignore"] });
    // The last moments are after the end.
    await Bun.sleep((wholeMs * at) / 20);
    child.kill("SIGKILL");
    await child.exited;
    const { code, out } = await rig.call("state", id);
    seen.add(code === 0 ? JSON.parse(out).status : "missing");
    expect(await rig.call("delete", "--force", id)).toMatchObject({ code: 0, err: "" });
    expect(rig.left()).toEqual([]);
  }
  await until("no process is left", () => marked("987654").length === 0);
  // The moments were before, in and after the creation.
  expect([...seen].sort()).toEqual(["created", "missing", "stopped"]);
}, 120_000);

test("a deletion that is killed at any moment is continued by the next", async () => {
  const bundle = rig.bundle({ args: ["sleep", "987655"] });
  for (let at = 0; at < 20; at++) {
    const id = `d${at}`;
    await rig.ok("run", "--detach", "--bundle", bundle, id);
    const child = Bun.spawn(rig.command("delete", "--force", id), { stdio: ["ignore", "ignore", "ignore"] });
    await Bun.sleep(at * 2);
    child.kill("SIGKILL");
    await child.exited;
    expect(await rig.call("delete", "--force", id)).toMatchObject({ code: 0, err: "" });
    expect(rig.left()).toEqual([]);
  }
  await until("no process is left", () => marked("987655").length === 0);
}, 120_000);

test("a directory without a record is no container, and delete --force removes it", async () => {
  mkdirSync(join(rig.root, "half"), { recursive: true });
  expect((await rig.call("state", "half")).err).toContain("container does not exist");
  expect((await rig.call("delete", "half")).err).toContain("container does not exist");
  expect(await rig.ok("list", "--quiet")).toBe("");
  await rig.ok("delete", "--force", "half");
});

test("a state of another runtime is left alone", async () => {
  mkdirSync(join(rig.root, "other"), { recursive: true });
  writeFileSync(join(rig.root, "other/state.json"), '{"id":"other","init_process_pid":1}');
  for (const command of ["state", "kill", "delete"])
    expect((await rig.call(command, "other")).err).toContain("is not a state of fathom-runc");
  expect((await rig.call("delete", "--force", "other")).code).toBe(1);
  expect(existsSync(join(rig.root, "other/state.json"))).toBe(true);
  await finished(["rm", "-r", join(rig.root, "other")]);
});

test("two creations of one name: one wins", async () => {
  const bundle = rig.bundle({ args: ["sleep", "987656"] });
  const both = await Promise.all([0, 1].map(() => rig.call("create", "--bundle", bundle, "one")));
  expect(both.map(({ code }) => code).sort()).toEqual([0, 1]);
  expect(await rig.status("one")).toBe("created");
});

test("a cgroup with processes of others is not taken, and they live on", async () => {
  const bundle = rig.bundle({ args: ["sleep", "987657"] });
  await rig.ok("run", "--detach", "--bundle", bundle, "one");
  expect(await rig.call("create", "--bundle", bundle, "two")).toMatchObject({
    code: 1,
    err: expect.stringContaining("container's cgroup is not empty"),
  });
  await rig.ok("delete", "--force", "two");
  expect(await rig.status("one")).toBe("running");
});

const bind = (source: string): object => ({ destination: "/tmp/x", type: "bind", source, options: ["bind"] });

/** Each breaks another step. */
const broken: readonly (readonly [string, BundleChange, readonly string[], string])[] = [
  ["the program", { args: ["/no/such"] }, [], 'exec: "/no/such": stat /no/such: no such file or directory'],
  [
    "a mount",
    { mounts: [...defaultMounts, bind("/no/such/source")] },
    [],
    'error mounting "/no/such/source" to rootfs at "/tmp/x"',
  ],
  ["the working directory", { process: { cwd: "/bin/sh" } }, [], "/bin/sh"],
  ["a limit", { linux: { resources: { cpu: { cpus: "4000" } } } }, [], "cpuset.cpus"],
  ["a kernel parameter", { linux: { sysctl: { "net.ipv4.no_such": "1" } } }, [], "net/ipv4/no_such"],
  [
    "a namespace to join",
    { linux: { namespaces: [{ type: "mount" }, { type: "uts" }, { type: "pid", path: "/no/such" }] } },
    [],
    "/no/such",
  ],
  [
    "a user namespace without maps",
    { linux: { namespaces: [{ type: "mount" }, { type: "uts" }, { type: "user" }] } },
    [],
    "linux.uidMappings",
  ],
  ["the pid file", {}, ["--pid-file", "/no/such/pid"], "no such file or directory"],
  [
    "a prestart hook",
    { whole: { hooks: { prestart: [hook("echo why >&2; exit 4")] } } },
    [],
    "error running prestart hook #0: exit status 4, stdout: , stderr: why",
  ],
  [
    "a createRuntime hook",
    { whole: { hooks: { createRuntime: [hook("true"), hook("exit 5")] } } },
    [],
    "error running createRuntime hook #1: exit status 5",
  ],
  [
    "a hook that takes too long",
    { whole: { hooks: { createRuntime: [{ ...hook("exec sleep 1000"), timeout: 1 }] } } },
    [],
    "hook ran past specified timeout of 1s",
  ],
  ["a createContainer hook", { whole: { hooks: { createContainer: [hook("exit 6")] } } }, [], "exit status 6"],
  [
    "a member that is not supported",
    { process: { selinuxLabel: "a:b:c:d" } },
    [],
    "process.selinuxLabel is not supported yet",
  ],
];
for (const [what, change, flags, text] of broken)
  test(`a creation fails at ${what}, and leaves nothing`, async () => {
    const bundle = rig.bundle({ args: ["sleep", "987658"], ...change });
    const { code, err } = await rig.call("create", "--bundle", bundle, ...flags, "one");
    expect({ code, err: err.replaceAll(String.raw`\"`, '"') }).toMatchObject({
      code: 1,
      err: expect.stringContaining(text),
    });
    expect(rig.left()).toEqual([]);
    await until("no process is left", () => marked("987658").length === 0);
  });
