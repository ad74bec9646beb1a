/** runc's commands: what each does, its exit code, and the texts that other programs look for. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { existsSync, openSync, closeSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isAlive, until } from "@fathom/base/testing";
import { finished, RuncRig } from "./rig.ts";

const rig = new RuncRig();
afterEach(async () => {
  rmSync(join(rig.rootfs, "tmp/ran"), { force: true });
  await rig.clean();
  expect(rig.left()).toEqual([]);
});
afterAll(() => rig[Symbol.dispose]());

const ran = (): boolean => existsSync(join(rig.rootfs, "tmp/ran"));
const script = "trap 'exit 3' TERM; echo up > /tmp/ran; while :; do sleep 0.02; done";

async function running(id: string): Promise<{ bundle: string; pid: number }> {
  const bundle = rig.bundle({ args: ["sleep", "1000"] });
  await rig.ok("run", "--detach", "--bundle", bundle, "--pid-file", join(bundle, "pid"), id);
  return { bundle, pid: Number(readFileSync(join(bundle, "pid"), "utf8")) };
}

test("run passes streams and the exit code, and leaves nothing", async () => {
  const bundle = rig.bundle({ args: ["sh", "-c", "read a; echo got $a; echo err >&2; exit 7"] });
  expect(await finished(rig.command("run", "--bundle", bundle, "one"), "hello\n")).toEqual({
    code: 7,
    out: "got hello\n",
    err: "err\n",
  });
  expect(rig.left()).toEqual([]);
});

test("a container that is created waits for its start", async () => {
  const bundle = rig.bundle({ args: ["sh", "-c", script] });
  await rig.ok("create", "--bundle", bundle, "--pid-file", join(bundle, "pid"), "one");
  const state = JSON.parse(await rig.ok("state", "one"));
  const pid = Number(readFileSync(join(bundle, "pid"), "utf8"));
  expect(state).toMatchObject({ id: "one", status: "created", pid, bundle, rootfs: rig.rootfs, ociVersion: "1.0.2" });
  expect(ran()).toBe(false);
  expect((await rig.call("create", "--bundle", bundle, "one")).err).toContain("container with given ID already exists");
  await rig.ok("start", "one");
  await until("its program runs", ran);
  expect(await rig.status("one")).toBe("running");
  expect(await rig.call("start", "one")).toMatchObject({
    code: 1,
    err: expect.stringContaining("cannot start an already running container"),
  });
  expect(await rig.call("delete", "one")).toMatchObject({
    code: 1,
    err: expect.stringContaining("cannot delete container one that is not stopped: running"),
  });
  await rig.ok("kill", "one");
  await until("it has stopped", async () => (await rig.status("one")) === "stopped");
  expect(isAlive(pid)).toBe(false);
  expect(await rig.call("kill", "one")).toMatchObject({
    code: 1,
    err: expect.stringContaining("container not running"),
  });
  await rig.ok("delete", "one");
  expect(await rig.call("state", "one")).toMatchObject({
    code: 1,
    err: expect.stringContaining("container does not exist"),
  });
  await rig.ok("delete", "--force", "one");
});

test("exec runs in the container's namespaces and cgroups, with its own values and code", async () => {
  const { pid } = await running("one");
  const look =
    "echo $A; pwd; id -u; id -G; readlink /proc/self/ns/pid; readlink /proc/self/ns/mnt; cat /proc/self/cgroup; ls /proc/self/fd | wc -l; exit 9";
  const flags = ["--env", "A=b", "--cwd", "/tmp", "--user", "5:6", "--additional-gids", "7"];
  const { code, out, err } = await rig.call("exec", ...flags, "one", "sh", "-c", look);
  expect({ code, err }).toEqual({ code: 9, err: "" });
  const lines = out.split("\n");
  expect(lines.slice(0, 4)).toEqual(["b", "/tmp", "5", "6 7"]);
  const link = (kind: string): string =>
    Bun.spawnSync(["readlink", `/proc/${pid}/ns/${kind}`])
      .stdout.toString()
      .trim();
  expect(lines.slice(4, 6)).toEqual([link("pid"), link("mnt")]);
  const cgroups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  expect(out).toContain(cgroups);
  // The listing itself has one more.
  expect(lines.at(-2)).toBe("4");
});

test("exec's failures have the texts and the code that Docker and Podman know", async () => {
  await running("one");
  expect(await rig.call("exec", "one", "nosuch")).toMatchObject({
    code: 255,
    err: expect.stringContaining(
      'exec failed: unable to start container process: exec: \\"nosuch\\": executable file not found in $PATH',
    ),
  });
  writeFileSync(join(rig.rootfs, "tmp/plain"), "x", { mode: 0o644 });
  expect((await rig.call("exec", "one", "/tmp/plain")).err).toContain("permission denied");
  expect((await rig.call("exec", "one", "/no/such")).err).toContain("no such file or directory");
  expect((await rig.call("exec", "--cwd", "/no/such", "one", "true")).err).toContain("chdir to cwd");
  await rig.ok("kill", "one", "KILL");
  await until("it has stopped", async () => (await rig.status("one")) === "stopped");
  expect((await rig.call("exec", "one", "true")).err).toContain("cannot exec in a stopped container");
});

test("exec takes a process from a file, and detached it leaves a pid file", async () => {
  const { bundle } = await running("one");
  const file = join(bundle, "process.json");
  const pidFile = join(bundle, "exec.pid");
  const process = { args: ["sleep", "100"], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } };
  writeFileSync(file, JSON.stringify(process));
  await rig.ok("exec", "--process", file, "--detach", "--pid-file", pidFile, "one");
  const pid = Number(readFileSync(pidFile, "utf8"));
  await until("it runs its program", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
  expect(JSON.parse(await rig.ok("ps", "--format", "json", "one"))).toContain(pid);
  expect(await rig.ok("ps", "one")).toContain("sleep 1000");
  await rig.ok("delete", "--force", "one");
  expect(isAlive(pid)).toBe(false);
});

test("pause and resume", async () => {
  await running("one");
  await rig.ok("pause", "one");
  expect(await rig.status("one")).toBe("paused");
  expect((await rig.call("exec", "one", "true")).err).toContain("cannot exec in a paused container");
  await rig.ok("resume", "one");
  expect(await rig.status("one")).toBe("running");
  expect(await rig.call("resume", "one")).toMatchObject({
    code: 1,
    err: expect.stringContaining("container not paused"),
  });
  await rig.ok("pause", "one");
  await rig.ok("kill", "one", "SIGKILL");
  await until("it has stopped", async () => (await rig.status("one")) === "stopped");
});

test("limits, and their change by flags and as JSON", async () => {
  const bundle = rig.bundle({
    args: ["sleep", "1000"],
    linux: { resources: { memory: { limit: 64 << 20 }, pids: { limit: 50 }, cpu: { quota: 20_000, period: 100_000 } } },
  });
  await rig.ok("run", "--detach", "--bundle", bundle, "one");
  const stats = async (): Promise<{ memory: { usage: { limit: number } }; pids: { limit: number } }> =>
    JSON.parse(await rig.ok("events", "--stats", "one")).data;
  expect(await stats()).toMatchObject({ memory: { usage: { limit: 64 << 20 } }, pids: { limit: 50 } });
  await rig.ok("update", "--memory", "32m", "--pids-limit", "33", "one");
  expect(await stats()).toMatchObject({ memory: { usage: { limit: 32 << 20 } }, pids: { limit: 33 } });
  const { code } = await finished(
    rig.command("update", "--resources", "-", "one"),
    JSON.stringify({ memory: { limit: 48 << 20 } }),
  );
  expect(code).toBe(0);
  expect(await stats()).toMatchObject({ memory: { usage: { limit: 48 << 20 } }, pids: { limit: 33 } });
});

test("list shows all containers", async () => {
  expect(await rig.ok("list", "--format", "json")).toBe("null\n");
  const { pid } = await running("one");
  expect(await rig.ok("list", "--quiet")).toBe("one\n");
  expect(JSON.parse(await rig.ok("list", "--format", "json"))).toMatchObject([{ id: "one", pid, status: "running" }]);
  expect(await rig.ok("list")).toMatch(/^ID +PID +STATUS +BUNDLE +CREATED +OWNER\none +\d+ +running +\//);
});

test("a container without a pid namespace of its own ends as a whole", async () => {
  const namespaces = ["ipc", "uts", "mount", "network"].map((type) => ({ type }));
  const bundle = rig.bundle({ args: ["sh", "-c", "sleep 1000 & sleep 1000"], linux: { namespaces } });
  await rig.ok("run", "--detach", "--bundle", bundle, "one");
  const pids = async (): Promise<number[]> => JSON.parse(await rig.ok("ps", "--format", "json", "one"));
  await until("all run", async () => (await pids()).length === 2);
  const all = await pids();
  await rig.ok("kill", "one", "KILL");
  await until("all have ended", () => all.every((pid) => !isAlive(pid)));
});

test("preserved descriptors are the program's", async () => {
  const bundle = rig.bundle({ args: ["sh", "-c", "cat <&3"] });
  writeFileSync(join(bundle, "file"), "content\n");
  const fd = openSync(join(bundle, "file"), "r");
  const child = Bun.spawn(rig.command("run", "--preserve-fds", "1", "--bundle", bundle, "one"), {
    stdio: ["ignore", "pipe", "pipe", fd],
  });
  closeSync(fd);
  expect(await new Response(child.stdout).text()).toBe("content\n");
  expect(await child.exited).toBe(0);
  expect((await rig.call("run", "--preserve-fds", "40", "--bundle", bundle, "two")).err).toContain(
    "please check that preserved-fd",
  );
});

test("signals to run reach the container", async () => {
  const bundle = rig.bundle({ args: ["sh", "-c", script] });
  const child = Bun.spawn(rig.command("run", "--bundle", bundle, "one"), { stdin: "ignore" });
  await until("its program runs", ran);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(3);
  expect(rig.left()).toEqual([]);
});

test("run --keep leaves a stopped container", async () => {
  await rig.ok("run", "--keep", "--bundle", rig.bundle(), "one");
  expect(await rig.status("one")).toBe("stopped");
  expect((await rig.call("start", "one")).err).toContain("cannot start a container that has stopped");
});

test("failures go to the log as JSON, and to stderr as text", async () => {
  const log = join(rig.base, "log.json");
  const bundle = rig.bundle({ args: ["nosuch"] });
  const { code, err } = await rig.call("--log", log, "--log-format", "json", "create", "--bundle", bundle, "one");
  const words =
    'runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH';
  expect({ code, err }).toEqual({ code: 1, err: `${words}\n` });
  expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ level: "error", msg: words });
  expect(rig.left()).toEqual([]);
});

test("wrong calls are refused, and nothing is made", async () => {
  const bundle = rig.bundle();
  const terminal = rig.bundle({ process: { terminal: true } });
  for (const [args, text] of [
    [["create", "--bundle", "/no/such", "one"], "JSON specification file config.json not found"],
    [["create", "--bundle", bundle, "../one"], "invalid container ID format"],
    [["create", "--bundle", bundle], "container id cannot be empty"],
    [["create", "--bundle", terminal, "one"], "cannot allocate tty if runc will detach without setting console socket"],
    [
      ["create", "--bundle", bundle, "--console-socket", "/x", "one"],
      "cannot use console socket if runc will not detach or allocate tty",
    ],
    [["create", "--bundle", bundle, "--no-pivot", "one"], "--no-pivot: not supported yet"],
    [["--systemd-cgroup", "create", "--bundle", bundle, "one"], "--systemd-cgroup: not supported yet"],
    [["checkpoint", "one"], "checkpoint: not supported yet"],
    [["restore", "one"], "restore: not supported yet"],
    [["create", "--nosuch", "one"], "flag provided but not defined: -nosuch"],
    [["nosuch"], "No help topic for 'nosuch'"],
    [["kill", "one"], "container does not exist"],
    [["delete", "one"], "container does not exist"],
  ] as const)
    expect(await rig.call(...args)).toMatchObject({ code: 1, err: expect.stringContaining(text) });
  expect(rig.left()).toEqual([]);
});

test("the version, the features and an example configuration", async () => {
  expect(await rig.ok("--version")).toMatch(/^fathom-runc version \S+\nspec: 1\.3\.0\n$/);
  expect(JSON.parse(await rig.ok("features"))).toMatchObject({
    ociVersionMax: "1.3.0",
    linux: { seccomp: { enabled: true } },
  });
  const directory = join(rig.base, "example");
  Bun.spawnSync(["mkdir", directory]);
  await rig.ok("spec", "--bundle", directory);
  expect(JSON.parse(readFileSync(join(directory, "config.json"), "utf8"))).toMatchObject({ hostname: "runc" });
  expect((await rig.call("spec", "--bundle", directory)).err).toContain("File config.json exists. Remove it first");
});

test("a state belongs to root alone", async () => {
  await running("one");
  expect(statSync(rig.root).mode & 0o777).toBe(0o700);
  expect(statSync(join(rig.root, "one")).mode & 0o777).toBe(0o700);
  expect(statSync(join(rig.root, "one/state.json")).mode & 0o777).toBe(0o600);
});
