/**
 * A supervisor that is stopped (SIGSTOP) answers nothing but is not dead. Every command still answers, and no running process is killed because
 * of it. When it continues, everything agrees with the kernel.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until, type Result } from "./harness.ts";
import { isAlive, parentOf, childrenOf } from "@fathom/base/testing";

let daemon: TestDaemon;
const stopped = new Set<number>();

beforeAll(async () => {
  daemon = new TestDaemon("stopped");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // The process has ended.
  }
}

function goOn(pid: number): void {
  signal(pid, "SIGCONT");
  stopped.delete(pid);
}

afterEach(() => {
  for (const pid of stopped) goOn(pid);
  daemon.removeContainers();
}, 60_000);

afterAll(async () => {
  for (const pid of stopped) goOn(pid);
  await daemon?.close();
}, 60_000);

const state = (name: string): string => daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name);
const errorOf = (name: string): string => daemon.docker("inspect", "-f", "{{.State.Error}}", name);

function run(name: string, script: string, ...flags: string[]): { readonly pid: number; readonly supervisor: number } {
  daemon.docker("run", "-d", "--name", name, ...flags, daemon.image, "sh", "-c", script);
  const pid = daemon.pidOf(name);
  const supervisor = parentOf(pid);
  return { pid, supervisor };
}

function stop(supervisor: number): void {
  process.kill(supervisor, "SIGSTOP");
  stopped.add(supervisor);
}

/** A command that ends by itself, with any output. The harness kills it after 30 s, with the code -1. */
function ends(...command: string[]): Result {
  const result = daemon.run("docker", ...command);
  expect({ command, code: result.code }).not.toEqual({ command, code: -1 });
  return result;
}

test("commands that need no supervisor work as usual; exec, attach and resize say why they cannot", async () => {
  const { pid, supervisor } = run("still", "trap 'echo usr1 >/got' USR1; echo up; while :; do sleep 0.1; done", "-t");
  await until("the trap is set", () => daemon.docker("logs", "still").trim() === "up");
  stop(supervisor);
  const exec = ends("exec", "still", "sleep", "12345");
  expect(exec.code).not.toBe(0);
  expect(exec.out + exec.err).toContain(`supervisor cannot be asked: it is stopped`);
  expect(exec.out + exec.err).toContain(`kill -CONT ${supervisor}`);
  const detached = ends("exec", "-d", "still", "true");
  expect(detached.code).not.toBe(0);
  expect(detached.err).toContain("it is stopped");
  const attach = ends("attach", "--no-stdin", "still");
  expect(attach.code).not.toBe(0);
  // The docker CLI does not show the reason.
  expect(attach.err).toContain("503");
  expect(daemon.cli("attach", "--no-stdin", "still").err).toContain("it is stopped");
  const resize = await daemon.api<{ message: string }>("POST", "/containers/still/resize?h=30&w=90");
  expect(resize.status).toBe(503);
  expect(resize.json.message).toContain("it is stopped");

  expect(daemon.docker("ps", "--format", "{{.Names}} {{.Status}}")).toMatch(/^still Up /);
  expect(state("still")).toBe("running 0");
  expect(errorOf("still")).toContain(`supervisor (process ${supervisor}) cannot be reached: it is stopped`);
  expect(readFileSync(join(daemon.work, "log"), "utf8")).toContain("a supervisor cannot be reached");
  expect(daemon.docker("logs", "still").trim()).toBe("up");
  expect(daemon.docker("top", "still")).toContain("sleep");
  ends("update", "--cpu-shares", "512", "still");
  expect(daemon.docker("inspect", "-f", "{{.HostConfig.CpuShares}}", "still")).toBe("512");
  daemon.docker("pause", "still");
  expect(state("still")).toBe("paused 0");
  daemon.docker("unpause", "still");
  daemon.docker("kill", "-s", "USR1", "still");
  await until("the signal arrives", () => existsSync(`/proc/${pid}/root/got`));

  goOn(supervisor);
  await until("it is reached again", () => errorOf("still") === "");
  expect(daemon.docker("exec", "still", "cat", "/got")).toBe("usr1");
  // A request that was given up meanwhile does not take effect later, when nobody expects it.
  await until("it was killed", () => !daemon.docker("top", "still", "-o", "pid,args").includes("12345"));
}, 120_000);

test("stop: when the container ends by itself, its own code counts; after the timeout, the code of the kill through the cgroup", async () => {
  const obeys = run("obeys", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
  const ignores = run("ignores", "trap '' TERM; echo ready; while :; do sleep 0.1; done");
  for (const name of ["obeys", "ignores"])
    await until("the trap is set", () => daemon.docker("logs", name) === "ready");
  stop(obeys.supervisor);
  stop(ignores.supervisor);
  expect(ends("stop", "-t", "1", "ignores").code).toBe(0);
  expect(state("ignores")).toBe("exited 137");
  expect(isAlive(ignores.pid)).toBe(false);
  expect(ends("stop", "-t", "20", "obeys").code).toBe(0);
  expect(state("obeys")).toBe("exited 5");
  expect(ends("start", "ignores").code).toBe(0);
  expect(daemon.docker("exec", "ignores", "echo", "again")).toBe("again");
}, 120_000);

test("kill and restart", async () => {
  const killed = run("killed", "sleep 1000");
  stop(killed.supervisor);
  expect(ends("kill", "killed").code).toBe(0);
  expect(state("killed")).toBe("exited 137");
  const again = run("again", "sleep 1000");
  stop(again.supervisor);
  expect(ends("restart", "-t", "0", "again").code).toBe(0);
  expect(daemon.pidOf("again")).not.toBe(again.pid);
  expect(isAlive(again.pid)).toBe(false);
}, 120_000);

test("rm -f removes the container, its supervisor and its files", async () => {
  const { pid, supervisor } = run("gone", "sleep 1000");
  const id = daemon.docker("inspect", "-f", "{{.Id}}", "gone");
  stop(supervisor);
  expect(ends("rm", "-f", "gone").code).toBe(0);
  expect(isAlive(pid)).toBe(false);
  await until("the supervisor has ended", () => !isAlive(supervisor));
  expect(daemon.docker("ps", "-aq")).toBe("");
  expect(existsSync(join(daemon.dataRoot, "containers", id))).toBe(false);
}, 120_000);

test("an end that happens while the supervisor is stopped is reported with its true code when the supervisor continues", async () => {
  const { pid, supervisor } = run("ends", "while [ ! -e /end ]; do sleep 0.1; done; echo last words; exit 7");
  stop(supervisor);
  await Bun.write(`/proc/${pid}/root/end`, "");
  await until("its process has ended", () => !isAlive(pid));
  goOn(supervisor);
  expect(daemon.docker("wait", "ends")).toBe("7");
  expect(state("ends")).toBe("exited 7");
  expect(daemon.docker("logs", "ends")).toBe("last words");
}, 120_000);

test("the daemon notices an end although the supervisor, or the supervisor of a joined container, is stopped", async () => {
  const { pid } = run("ends", "while [ ! -e /end ]; do sleep 0.1; done; exit 7");
  const joined = run("joined", "sleep 1000", "--pid", "container:ends");
  stop(joined.supervisor);
  await Bun.write(`/proc/${pid}/root/end`, "");
  expect(ends("wait", "ends").out).toBe("7\n");
  expect(ends("wait", "joined").out).toBe("137\n");
  const again = run("again", "while [ ! -e /end ]; do sleep 0.1; done; exit 8", "--restart", "always");
  stop(again.supervisor);
  await Bun.write(`/proc/${again.pid}/root/end`, "");
  expect(ends("wait", "again").out).toBe("8\n");
  await until("its policy starts it again", () => state("again") === "running 0" || state("again") === "restarting 8");
}, 120_000);

test("a daemon starts while supervisors are stopped: running containers keep running, and can be ended", async () => {
  const stays = run("stays", "while [ ! -e /end ]; do sleep 0.1; done; exit 8", "-p", "127.0.0.1:18083:80");
  const goes = run("goes", "trap 'exit 6' TERM; echo ready; while :; do sleep 0.1; done");
  const removed = run("removed", "sleep 1000");
  await until("the trap is set", () => daemon.docker("logs", "goes") === "ready");
  for (const { supervisor } of [stays, goes, removed]) stop(supervisor);
  await daemon.kill();
  await daemon.start();
  expect(daemon.docker("ps", "--format", "{{.Names}}").split("\n").toSorted()).toEqual(["goes", "removed", "stays"]);
  for (const { pid } of [stays, goes, removed]) expect(isAlive(pid)).toBe(true);
  expect(errorOf("stays")).toContain("cannot be reached");
  expect(ends("exec", "stays", "true").code).not.toBe(0);
  expect(ends("stop", "-t", "20", "goes").code).toBe(0);
  expect(state("goes")).toBe("exited 6");
  expect(ends("rm", "-f", "removed").code).toBe(0);
  expect(isAlive(removed.pid)).toBe(false);
  goOn(stays.supervisor);
  await until("it is reached again", () => errorOf("stays") === "");
  expect(daemon.docker("exec", "stays", "echo", "here")).toBe("here");
  await Bun.write(`/proc/${stays.pid}/root/end`, "");
  expect(daemon.docker("wait", "stays")).toBe("8");
}, 120_000);

test("stems made in advance whose supervisors are stopped when their daemon is killed are ended by the next daemon", async () => {
  const isHelper = (pid: number): boolean => readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("fathom-init: ");
  const runs = run("beside", "sleep 1000");
  let supervisors: number[] = [];
  await until("the pool is full", () => {
    supervisors = childrenOf(daemon.pid).filter((pid) => isHelper(pid) && pid !== runs.supervisor);
    return supervisors.length > 0 && supervisors.every((pid) => childrenOf(pid).length === 1);
  });
  const stems = supervisors.flatMap(childrenOf);
  for (const supervisor of [...supervisors, runs.supervisor]) stop(supervisor);
  await daemon.kill();
  expect([...supervisors, ...stems].every(isAlive)).toBe(true);
  await daemon.start();
  expect([...supervisors, ...stems].filter(isAlive)).toEqual([]);
  expect([runs.pid, runs.supervisor].every(isAlive)).toBe(true);
  expect(readFileSync(join(daemon.work, "log"), "utf8")).not.toContain("does another engine use this parent");
}, 120_000);

test("a supervisor that is killed while it is stopped is dead: its container ends and the row says why", async () => {
  const { pid, supervisor } = run("orphan", "sleep 1000");
  stop(supervisor);
  expect(readlinkSync(`/proc/${supervisor}/exe`)).toContain("fathom-init");
  signal(supervisor, "SIGKILL");
  await until("the end is reported", () => state("orphan") === "exited 255");
  expect(errorOf("orphan")).toContain("supervisor was killed");
  await until("its process is gone", () => !isAlive(pid));
}, 120_000);

test("a container in the pid namespace of another is signalled, stopped and removed like any other, also by a new daemon", async () => {
  const first = run("first", "sleep 1000");
  const joins = ["--pid", "container:first"];
  const script = "trap 'exit 4' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.1; done";
  const names = ["answers", "stopped", "after", "removed"] as const;
  const joined = Object.fromEntries(names.map((name) => [name, run(name, script, ...joins)]));
  for (const name of names) await until("the trap is set", () => daemon.docker("logs", name) === "ready");
  expect(ends("kill", "-s", "USR1", "answers").err).toBe("");
  await until("the signal arrives", () => daemon.docker("logs", "answers") === "ready\nusr1");
  expect(ends("stop", "-t", "20", "answers").code).toBe(0);
  expect(state("answers")).toBe("exited 4");

  for (const name of ["stopped", "after", "removed"]) stop(joined[name]!.supervisor);
  expect(ends("stop", "-t", "20", "stopped").code).toBe(0);
  expect(state("stopped")).toBe("exited 4");
  await daemon.kill();
  await daemon.start();
  expect(daemon.docker("inspect", "-f", "{{.State.Pid}}", "after")).toBe(String(joined["after"]!.pid));
  expect(ends("stop", "-t", "20", "after").code).toBe(0);
  expect(state("after")).toBe("exited 4");
  expect(ends("rm", "-f", "removed").code).toBe(0);
  expect(isAlive(joined["removed"]!.pid)).toBe(false);
  expect(isAlive(first.pid)).toBe(true);
}, 120_000);

test("a third container can join the namespaces of a container that joined another's", () => {
  run("first", "sleep 1000");
  run("second", "sleep 2000", "--pid", "container:first", "--ipc", "shareable");
  const script = "tr '\\0' ' ' </proc/1/cmdline; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc";
  const joins = ["--pid", "--net", "--ipc"].flatMap((flag) => [flag, "container:second"]);
  const third = ends("run", "--rm", ...joins, daemon.image, "sh", "-c", script);
  const of = (kind: string): string => readlinkSync(`/proc/${daemon.pidOf("second")}/ns/${kind}`);
  expect(third).toMatchObject({ code: 0, out: `sleep 1000 ${of("net")}\n${of("ipc")}\n` });
}, 60_000);

test("a container that shares its pid namespace with another, both with stopped supervisors, can be restarted, and shows its state meanwhile", async () => {
  const first = run("first", "sleep 1000");
  const second = run("second", "sleep 2000", "--pid", "container:first");
  stop(first.supervisor);
  stop(second.supervisor);
  const restart = daemon.begin("docker", "restart", "-t", "0", "first");
  // The end of the first container ends all processes in its namespace. The second container's supervisor does not report that.
  await until("the second's process has ended", () => !isAlive(second.pid));
  const exec = await daemon.api<{ Id: string; message?: string }>("POST", "/containers/second/exec", { Cmd: ["true"] });
  const answer =
    exec.status === 201
      ? await daemon.api<{ message: string }>("POST", `/exec/${exec.json.Id}/start`, { Detach: true })
      : exec;
  expect({ status: answer.status, message: answer.json.message }).toEqual({
    status: 409,
    message: expect.stringMatching(/^container [0-9a-f]{64} is not running$/),
  });
  expect(await restart.exited).toBe(0);
  expect(state("first")).toBe("running 0");
  expect(daemon.pidOf("first")).not.toBe(first.pid);
  await until("the second's end is reported", () => state("second") === "exited 137");
}, 120_000);

test("a container with execs ends when it is stopped", async () => {
  const { pid, supervisor } = run("busy", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
  await until("the trap is set", () => daemon.docker("logs", "busy") === "ready");
  daemon.docker("exec", "-d", "busy", "sleep", "1000");
  stop(supervisor);
  expect(ends("stop", "-t", "20", "busy").code).toBe(0);
  expect(state("busy")).toBe("exited 5");
  expect(isAlive(pid)).toBe(false);
}, 120_000);

test("a container ends when it is stopped, also if its joined container is paused or has a stopped supervisor", async () => {
  for (const kind of ["paused", "stopped"]) {
    run("first", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    await until("the trap is set", () => daemon.docker("logs", "first") === "ready");
    const second = run("second", "sleep 2000", "--pid", "container:first");
    if (kind === "paused") daemon.docker("pause", "second");
    else stop(second.supervisor);
    expect({ kind, code: ends("stop", "-t", "20", "first").code, state: state("first") }).toEqual({
      kind,
      code: 0,
      state: "exited 5",
    });
    await until("the second's end is reported", () => state("second") === "exited 137");
    daemon.docker("rm", "-f", "first", "second");
  }
}, 120_000);

test("a program whose first thread has ended continues in its other threads", async () => {
  const source = join(daemon.work, "threads.c");
  await Bun.write(
    source,
    `#include <pthread.h>
     #include <signal.h>
     #include <unistd.h>
     static void *rest(void *nothing) { for (;;) pause(); return nothing; }
     int main(void) { pthread_t thread; signal(SIGUSR1, SIG_IGN); pthread_create(&thread, NULL, rest, NULL); pthread_exit(NULL); }`,
  );
  await Bun.$`gcc -O1 -static -pthread ${source} -o ${join(daemon.work, "threads")}`.quiet();
  daemon.docker("run", "-d", "--name", "threads", "-v", `${daemon.work}/threads:/threads`, daemon.image, "/threads");
  const pid = daemon.pidOf("threads");
  const status = (of: number): string => readFileSync(`/proc/${of}/status`, "utf8");
  await until("its first thread has ended", () => /^State:\s*Z/m.test(status(pid)));
  const supervisor = Number(/^PPid:\s*(\d+)/m.exec(status(pid))![1]);
  const ended = run("ended", "exec sleep 1000");
  for (const one of [supervisor, ended.supervisor]) stop(one);
  daemon.docker("kill", "-s", "USR1", "threads");
  // Asked later but known earlier: by then the daemon has looked at the first one.
  expect(ends("stop", "-t", "2", "ended").code).toBe(0);
  expect(errorOf("threads")).toContain("it is stopped");
  expect({ state: state("threads"), supervisor: /^State:\s*(.)/m.exec(status(supervisor))![1] }).toEqual({
    state: "running 0",
    supervisor: "T",
  });
  goOn(supervisor);
  expect(ends("kill", "threads").code).toBe(0);
  expect(state("threads")).toBe("exited 137");
}, 120_000);
