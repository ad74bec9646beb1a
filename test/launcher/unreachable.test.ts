/**
 * "I cannot reach it" is not "it is dead": supervisors that are stopped, that send nonsense, or whose socket is missing, and a daemon without
 * descriptors. A run ends only when the kernel says so of its process, which is identified by its number and start time.
 */
import { afterAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { randomId } from "@fathom/base";
import { createLauncher, type ExecHandle, type KnownRun, type RunIdentity } from "@fathom/runtime";
import { SysError, helperExecutable } from "@fathom/sys";
import { bothOutputs, execOperation, launcher, plan, Reader, Rig, start, sys, unframe, unlogged } from "./rig.ts";
import { childrenOf, isAlive, startTimeOf, until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

/** A container with the data that a daemon would remember of it. */
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
  await until("both processes end", () => !isAlive(process.pid) && !isAlive(supervisor.pid));
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
  await until("both processes end", () => !isAlive(process.pid) && !isAlive(supervisor.pid));
  expect(readdirSync(directory)).toEqual([]);
}, 30_000);

/** A process that joins its cgroups with this file waits there: the file is a pipe that is full. */
function fullPipe(): { readonly path: string; close(): void } {
  const path = join(rig.directory(), "full");
  execFileSync("mkfifo", [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  expect(() => {
    for (;;) writeSync(pipe, Buffer.alloc(4096));
  }).toThrow("EAGAIN");
  return { path, close: () => closeSync(pipe) };
}

test("the launcher does not wait for a process that is stopped before it is a stem, and does not leave it behind", async () => {
  const full = fullPipe();
  const before = new Set(childrenOf(process.pid));
  const prepared = launcher.prepare({ newNamespaces: ["mount"], cgroupProcs: [full.path] });
  prepared.catch(() => undefined);
  let stem: number | undefined;
  await until("the process is made", () => {
    stem = childrenOf(process.pid)
      .filter((pid) => !before.has(pid))
      .flatMap(childrenOf)[0];
    return stem !== undefined;
  });
  sys.kill(stem!, 19);
  expect(String(await prepared.catch((error: unknown) => error))).toContain(`(${stem}) is stopped`);
  await until("it has ended", () => !isAlive(stem!));
  full.close();
}, 30_000);

test("a process that is stopped before it is an exec ends, and its exec with it; the container, with --init, and other execs do not", async () => {
  const full = fullPipe();
  // Its first process executes fathom-init permanently and is stopped too; that is a matter of its user.
  const { supervisor } = await start(rig, ["sleep", "1000"], { init: true });
  const first = supervisor.pid;
  sys.kill(first, 19);
  const exec = (program: string, cgroupProcs: readonly string[] = []): Promise<ExecHandle> =>
    supervisor.exec({
      execId: randomId(),
      plan: {
        version: 1,
        stem: { newNamespaces: [], cgroupProcs },
        operations: [execOperation([program, "1000"])],
        terminal: null,
      },
      openStdin: false,
      attach: [bothOutputs],
    });
  const other = await exec("sleep");
  const children = (): number[] => childrenOf(supervisor.supervisorPid).toSorted();
  const known = [first, other.pid].toSorted();
  await until("the process that made the exec has ended", () => Bun.deepEquals(children(), known));
  const descriptors = readdirSync("/proc/self/fd").length;
  const standing = exec("sleep", [full.path]).catch((error: unknown) => error);
  let made: number | undefined;
  await until("the process is made", () => {
    made = children().find((pid) => !known.includes(pid));
    return made !== undefined;
  });
  sys.kill(made!, 19);
  const failure = await standing;
  expect(failure).toMatchObject({ code: "unavailable" });
  expect(String(failure)).toContain(`(${made}) was stopped`);
  expect(children()).toEqual(known);
  expect(readdirSync("/proc/self/fd").length).toBe(descriptors);
  expect(supervisor.unreachable).toBeUndefined();
  const after = await exec("sleep");
  expect([first, other.pid, after.pid].map(isAlive)).toEqual([true, true, true]);
  await supervisor.signal(9);
  expect((await supervisor.exit).code).toBe(137);
  await other.exit;
  await after.exit;
  full.close();
}, 30_000);

test("a client that reads late gets the rest of the output and its end, although the supervisor was stopped after it sent the end", async () => {
  // More than the socket holds, less than the program can write before a client reads.
  const { supervisor, attachments } = await start(rig, ["seq", "48000"], { attach: [bothOutputs] });
  expect((await supervisor.exit).code).toBe(0);
  supervisor.disconnect();
  sys.kill(supervisor.supervisorPid, 19);
  const stat = (): string => readFileSync(`/proc/${supervisor.supervisorPid}/stat`, "latin1");
  await until("the supervisor stands still", () => stat().includes(") T "));
  const { stdout } = unframe(await new Reader(attachments[0]!.fd).ended);
  expect(stdout).toBe(Array.from({ length: 48_000 }, (_, index) => `${index + 1}\n`).join(""));
  await until("it has ended", () => !isAlive(supervisor.supervisorPid));
}, 30_000);

test("a discard ends a stem whose supervisor is stopped", async () => {
  const prepared = await launcher.prepare(plan(rig, ["true"]).stem);
  const { process, supervisor } = prepared.identity!;
  sys.kill(supervisor.pid, 19);
  await prepared.discard();
  await until("both processes end", () => !isAlive(process.pid) && !isAlive(supervisor.pid));
}, 30_000);

test("a call does not wait for ever for a helper that never answers", async () => {
  // It runs for ever and reads nothing.
  const mute = openSync("/usr/bin/yes", "r");
  const other = createLauncher({ sys, executable: () => mute });
  expect(
    String(await other.prepare({ newNamespaces: ["mount"], cgroupProcs: [] }).catch((error: unknown) => error)),
  ).toContain("it does not answer");
  sys.close(mute);
}, 60_000);

test("without a descriptor for the connection the run is unreachable; when there is one, it is reached", async () => {
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
  expect(isAlive(run.process.pid)).toBe(true);
  await expect(
    found.supervisor.attach({ stdin: false, stdout: true, stderr: true, closeStdin: false }),
  ).rejects.toThrow("Too many open files");
  const told: (string | undefined)[] = [];
  found.supervisor.onReachability = (reason) => void told.push(reason);
  full = false;
  await until("it is reached", () => found.supervisor.unreachable === undefined);
  expect(told).toEqual([undefined]);
  await found.supervisor.signal(9);
  expect(await found.supervisor.exit).toMatchObject({ code: 137 });
}, 30_000);

test("a run whose socket is missing keeps running, accepts signals, and its end is known", async () => {
  const { directory, known: remembered, run } = await known(["sleep", "1000"]);
  rmSync(join(directory, "supervisor.sock"));
  const found = await launcher.reconnect(directory, remembered);
  if (found.kind !== "running") throw new Error(found.kind);
  expect(found.supervisor.unreachable).toContain(`process ${run.supervisor.pid}`);
  await found.supervisor.signal(15);
  await found.supervisor.signal(9);
  expect(await found.supervisor.exit).toMatchObject({ code: 137, signal: 9 });
  await until("the supervisor ends", () => !isAlive(run.supervisor.pid));
}, 30_000);

test("when a number belongs to another process by now, or a run to another boot, the run has ended", async () => {
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

test("a peer that sends nonsense does not mean death; only the end of the processes does", async () => {
  const child = Bun.spawn(["sleep", "1000"]);
  const parent = Bun.spawn(["sleep", "1000"]);
  const identity = (pid: number) => ({ pid, startTime: startTimeOf(pid) });
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
  await until("it is tried again and again", () => connections > 5);
  expect(ended).toBe(false);
  expect(found.supervisor.unreachable).toContain("does not speak its protocol");
  parent.kill(9);
  await parent.exited;
  expect(await found.supervisor.exit).toMatchObject({ code: 255, lost: "supervisor was killed" });
  expect(child.killed).toBe(false);
  child.kill(9);
  server.close();
}, 30_000);
