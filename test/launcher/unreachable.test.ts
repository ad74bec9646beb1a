/**
 * "I cannot reach it" is not "it is dead": supervisors that are stopped, that speak nonsense, whose socket is gone, and a daemon without
 * descriptors. Only the kernel's word on a process, by its number and its start, ends a run.
 */
import { afterAll, expect, test } from "bun:test";
import { existsSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createLauncher, type KnownRun, type RunIdentity } from "@fathom/runtime";
import { SysError } from "@fathom/sys";
import { helperExecutable } from "@fathom/sys/helper";
import { alive, eventually, launcher, plan, Rig, sys, unlogged } from "./rig.ts";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

/** A container with what a daemon would remember of it. */
async function known(argv: readonly string[]): Promise<{ directory: string; known: KnownRun; run: RunIdentity }> {
  const whole = plan(rig, argv);
  const prepared = await launcher.prepare(whole.stem);
  const run = prepared.identity!;
  const directory = rig.directory();
  const request = { plan: whole, directory, io: unlogged() } as const;
  const { supervisor } = await prepared.launch(request);
  supervisor.disconnect();
  return { directory, run, known: { identity: run, pid: run.process.pid, startedAt: supervisor.startedAt } };
}

test("a launch whose supervisor is stopped fails, and nothing is left of it", async () => {
  const whole = plan(rig, ["sleep", "1000"]);
  const prepared = await launcher.prepare(whole.stem);
  const { process, supervisor } = prepared.identity!;
  sys.kill(supervisor.pid, 19);
  const directory = rig.directory();
  const launch = prepared.launch({ plan: whole, directory, io: unlogged() });
  expect(String(await launch.catch((error: unknown) => error))).toContain("is stopped");
  await eventually("both end", () => !alive(process.pid) && !alive(supervisor.pid));
  expect(readdirSync(directory)).toEqual([]);
}, 30_000);

test("a launch whose process is stopped fails while its supervisor works, and nothing is left of it", async () => {
  const whole = plan(rig, ["sleep", "1000"]);
  const prepared = await launcher.prepare(whole.stem);
  const { process, supervisor } = prepared.identity!;
  sys.kill(process.pid, 19);
  const directory = rig.directory();
  const launch = prepared.launch({ plan: whole, directory, io: unlogged() });
  expect(String(await launch.catch((error: unknown) => error))).toContain(`(${process.pid}) is stopped`);
  await eventually("both end", () => !alive(process.pid) && !alive(supervisor.pid));
  expect(readdirSync(directory)).toEqual([]);
}, 30_000);

test("a discard of a stem whose supervisor is stopped ends it", async () => {
  const prepared = await launcher.prepare(plan(rig, ["true"]).stem);
  const { process, supervisor } = prepared.identity!;
  sys.kill(supervisor.pid, 19);
  await prepared.discard();
  await eventually("both end", () => !alive(process.pid) && !alive(supervisor.pid));
}, 30_000);

test("a helper that never answers is not waited for without end", async () => {
  // It runs for ever and reads nothing.
  const mute = openSync("/usr/bin/yes", "r");
  const other = createLauncher({ sys, executable: () => mute });
  expect(
    String(await other.prepare({ newNamespaces: ["mount"], cgroupProcs: [] }).catch((error: unknown) => error)),
  ).toContain("it does not answer");
  sys.close(mute);
}, 60_000);

test("without a descriptor to connect with the run is unreachable, and is reached as soon as there is one", async () => {
  const { directory, known: remembered, run } = await known(["sleep", "1000"]);
  let full = true;
  const short = createLauncher({
    sys: {
      ...sys,
      connectUnix: (fd, name) => {
        if (full) throw new SysError("socket", 24);
        return sys.connectUnix(fd, name);
      },
    },
    executable: () => helperExecutable(sys),
  });
  const found = await short.reconnect(directory, remembered);
  if (found.kind !== "running") throw new Error(found.kind);
  expect(found.supervisor.unreachable).toContain("Too many open files");
  expect(found.supervisor.pid).toBe(run.process.pid);
  expect(alive(run.process.pid)).toBe(true);
  await expect(
    found.supervisor.attach({ stdin: false, stdout: true, stderr: true, closeStdin: false }),
  ).rejects.toThrow("Too many open files");
  const told: (string | undefined)[] = [];
  found.supervisor.onReachability = (reason) => void told.push(reason);
  full = false;
  await eventually("it is reached", () => found.supervisor.unreachable === undefined);
  expect(told).toEqual([undefined]);
  await found.supervisor.signal(9);
  expect(await found.supervisor.exit).toMatchObject({ code: 137 });
}, 30_000);

test("a run whose socket is gone runs on, takes signals, and its end is known", async () => {
  const { directory, known: remembered, run } = await known(["sleep", "1000"]);
  rmSync(join(directory, "supervisor.sock"));
  const found = await launcher.reconnect(directory, remembered);
  if (found.kind !== "running") throw new Error(found.kind);
  expect(found.supervisor.unreachable).toContain(`process ${run.supervisor.pid}`);
  await found.supervisor.signal(15);
  await found.supervisor.signal(9);
  expect(await found.supervisor.exit).toMatchObject({ code: 137, signal: 9 });
  await eventually("the supervisor ends", () => !alive(run.supervisor.pid));
}, 30_000);

test("a number that is another's by now, and a run of another boot, are gone", async () => {
  const { directory, known: remembered, run } = await known(["sleep", "1000"]);
  const socket = join(directory, "supervisor.sock");
  const other = rig.directory();
  for (const identity of [
    { ...run, supervisor: { ...run.supervisor, startTime: "1" } },
    { ...run, bootId: "00000000-0000-0000-0000-000000000000" },
  ])
    expect(await launcher.reconnect(other, { ...remembered, identity })).toEqual({ kind: "gone" });
  expect(existsSync(socket)).toBe(true);
  const found = await launcher.reconnect(directory, remembered);
  if (found.kind !== "running") throw new Error(found.kind);
  await found.supervisor.signal(9);
  await found.supervisor.exit;
}, 30_000);

test("a peer that speaks nonsense is no death: only that of the processes is", async () => {
  const child = Bun.spawn(["sleep", "1000"]);
  const parent = Bun.spawn(["sleep", "1000"]);
  const identity = (pid: number) => ({ pid, startTime: String(sys.processStartTime(pid)) });
  const run: RunIdentity = {
    process: identity(child.pid),
    supervisor: identity(parent.pid),
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    pidNamespace: readlinkSync("/proc/self/ns/pid"),
  };
  const directory = rig.directory();
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on("error", () => undefined);
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  await new Promise<void>((resolve) => void server.listen(join(directory, "supervisor.sock"), resolve));
  const found = await launcher.reconnect(directory, { identity: run, pid: child.pid, startedAt: "" });
  if (found.kind !== "running") throw new Error(found.kind);
  let ended = false;
  void found.supervisor.exit.then(() => (ended = true));
  await eventually("it is tried again and again", () => connections > 5);
  expect(ended).toBe(false);
  expect(found.supervisor.unreachable).toContain("does not speak its protocol");
  parent.kill(9);
  await parent.exited;
  expect(await found.supervisor.exit).toMatchObject({ code: 255, lost: "supervisor was killed" });
  expect(child.killed).toBe(false);
  child.kill(9);
  server.close();
}, 30_000);
