/** Launches without a supervisor: streams, descriptors, pid file and exit code of a container that belongs to its caller. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { isSysError, O_RDWR, SOCK_STREAM } from "@fathom/sys";
import type { DirectCall, DirectReport } from "./direct-caller.ts";
import { launcher, plan, Rig, start, sys } from "./rig.ts";
import { parentOf, isAlive, until } from "@fathom/base/testing";

const { ENOENT } = constants.errno;
const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

type CallOptions = Omit<DirectCall, "base" | "rootfs" | "at" | "directory" | "argv">;

class Caller {
  readonly directory = rig.directory();
  readonly process: Bun.Subprocess<"pipe", "pipe", "pipe">;

  constructor(argv: readonly string[], options: CallOptions = {}) {
    const { base, rootfs, at } = rig;
    const call: DirectCall = { ...options, base, rootfs, at, directory: this.directory, argv };
    const program = join(import.meta.dir, "direct-caller.ts");
    this.process = Bun.spawn([process.execPath, program, JSON.stringify(call)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  write(text: string): void {
    this.process.stdin.write(text);
    void this.process.stdin.flush();
  }

  report(name: "launched" | "ended" | "failed"): DirectReport {
    return JSON.parse(readFileSync(join(this.directory, `${name}.json`), "utf8"));
  }

  /** The pid in the pid file, after the launch. */
  async launched(): Promise<number> {
    await until("it is launched", () => existsSync(join(this.directory, "launched.json")), { limitMs: 20_000 });
    return Number(readFileSync(join(this.directory, "pid"), "utf8"));
  }

  async end(): Promise<{ code: number; stdout: string; stderr: string }> {
    void this.process.stdin.end();
    const [stdout, stderr, code] = await Promise.all([
      new Response(this.process.stdout).text(),
      new Response(this.process.stderr).text(),
      this.process.exited,
    ]);
    return { code, stdout, stderr };
  }
}

function openOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).sort((a, b) => Number(a) - Number(b));
}

test("the caller's streams are the container's streams, and its exit code becomes the caller's", async () => {
  const files = ["one", "two"].map((name) => join(rig.base, name));
  for (const file of files) writeFileSync(file, `${file}\n`);
  const script = "read a; echo got $a; cat <&3; cat <&4; echo err >&2; exit 7";
  const caller = new Caller(["sh", "-c", script], { preserve: files });
  const pid = await caller.launched();
  // No supervisor: the caller has only this child, and this child has only this parent.
  expect(caller.report("launched")).toEqual({ pid, children: [pid], sockets: [], leaked: 0 });
  expect(parentOf(pid)).toBe(caller.process.pid);
  await until("it runs its program", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sh\n");
  expect(openOf(pid)).toEqual(["0", "1", "2", "3", "4"]);
  caller.write("hello\n");
  expect(await caller.end()).toEqual({ code: 7, stdout: `got hello\n${files.join("\n")}\n`, stderr: "err\n" });
  expect(caller.report("ended")).toMatchObject({ exit: { code: 7, signal: 0 }, children: [], sockets: [], leaked: 0 });
  expect(readdirSync(caller.directory).sort()).toEqual(["ended.json", "launched.json", "pid"]);
});

test("a killed process gives 128 plus its signal", async () => {
  const caller = new Caller(["cat"]);
  process.kill(await caller.launched(), "SIGKILL");
  expect((await caller.end()).code).toBe(137);
  expect(caller.report("ended")).toMatchObject({ exit: { code: 137, signal: 9 }, children: [] });
});

test("a stream from or to the host's null device is the container's own", async () => {
  const nowhere = sys.open("/dev/null", O_RDWR);
  const whole = plan(rig, ["sleep", "1000"]);
  const prepared = await launcher.prepare(whole.stem);
  const streams = { kind: "inherited", stdin: nowhere, stdout: nowhere, stderr: nowhere } as const;
  const run = await prepared.launchDirect({ plan: whole, directory: rig.directory(), io: { kind: "direct", streams } });
  sys.close(nowhere);
  await until("it runs its program", () => readFileSync(`/proc/${run.pid}/comm`, "utf8") === "sleep\n");
  const own = statSync(`/proc/${run.pid}/root/dev/null`);
  for (const fd of [0, 1, 2]) {
    const { dev, ino } = statSync(`/proc/${run.pid}/fd/${fd}`);
    expect({ dev, ino }).toEqual({ dev: own.dev, ino: own.ino });
  }
  run.signal(9);
  await until("it has ended", () => !isAlive(run.pid));
  // This process is no subreaper.
  expect(await run.wait()).toMatchObject({ code: 255, lost: "it is not a child of this process" });
});

test("in a joined pid namespace it is also its caller's child", async () => {
  const { supervisor } = await start(rig, ["sleep", "1000"], { log: { kind: "none" } });
  const file = join(rig.base, "joined");
  writeFileSync(file, "kept\n");
  const caller = new Caller(["sh", "-c", "read a; cat <&3; echo pid $$; exit 5"], {
    preserve: [file],
    joinPid: `/proc/${supervisor.pid}/ns/pid`,
  });
  const pid = await caller.launched();
  expect(caller.report("launched")).toEqual({ pid, children: [pid], sockets: [], leaked: 0 });
  expect(parentOf(pid)).toBe(caller.process.pid);
  await until("it runs its program", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sh\n");
  expect(openOf(pid)).toEqual(["0", "1", "2", "3"]);
  const { code, stdout } = await caller.end();
  expect(code).toBe(5);
  expect(stdout).toMatch(/^kept\npid [2-9]\d*\n$/);
  await supervisor.signal(9);
  await supervisor.exit;
});

test("the container keeps running when its caller is killed", async () => {
  const script = "until test -e /tmp/go; do sleep 0.02; done; echo went on";
  const caller = new Caller(["sh", "-c", script], { change: { init: true } });
  const pid = await caller.launched();
  caller.process.kill("SIGKILL");
  await caller.process.exited;
  expect(parentOf(pid)).not.toBe(caller.process.pid);
  writeFileSync(join(rig.rootfs, "tmp/go"), "");
  expect((await caller.end()).stdout).toBe("went on\n");
  await until("it has ended", () => !isAlive(pid));
});

test("a failed launch leaves nothing, and no pid file", async () => {
  const caller = new Caller(["nosuch"]);
  expect((await caller.end()).code).toBe(125);
  const report = caller.report("failed");
  expect(report.failure).toEqual({ stage: "launch", call: "stat", errno: ENOENT });
  expect(report).toMatchObject({ children: [], sockets: [], leaked: 0 });
  expect(readdirSync(caller.directory)).toEqual(["failed.json"]);
});

test("a pid file that cannot be written fails the launch, and ends the process", async () => {
  const caller = new Caller(["sleep", "1000"], { pidFile: "/no/such/directory/pid" });
  expect((await caller.end()).code).toBe(125);
  expect(caller.report("failed")).toMatchObject({
    failure: { stage: "launch", errno: ENOENT },
    children: [],
    sockets: [],
    leaked: 0,
  });
});

test("a pid file that cannot be written does not remove the file of another program", async () => {
  // A longer name is possible for the file, but not for the one that is renamed to it.
  const pidFile = join(rig.base, "p".repeat(250));
  writeFileSync(pidFile, "another's");
  const caller = new Caller(["sleep", "1000"], { pidFile });
  expect((await caller.end()).code).toBe(125);
  expect(readFileSync(pidFile, "utf8")).toBe("another's");
});

for (const start of ["own", "other"] as const)
  test(`a created process waits for its start (${start})`, async () => {
    const script = "echo started; exit 3";
    const caller = new Caller(["sh", "-c", script], { start, change: { process: [{ kind: "wait-start" }] } });
    expect(await caller.end()).toEqual({ code: 3, stdout: "started\n", stderr: "" });
    const { pid, children, sockets, leaked } = caller.report("launched");
    expect(Number(readFileSync(join(caller.directory, "pid"), "utf8"))).toBe(pid);
    expect({ children, sockets, leaked }).toEqual({ children: [pid], sockets: [], leaked: 0 });
    expect(caller.report("ended")).toMatchObject({ exit: { code: 3, signal: 0 }, children: [], sockets: [] });
  });

for (const joined of [false, true])
  test(`a created process that is killed before its start ends as its caller's child${joined ? ", in a joined pid namespace" : ""}`, async () => {
    const { supervisor } = await start(rig, ["sleep", "1000"], { log: { kind: "none" } });
    const file = join(rig.base, "kept");
    writeFileSync(file, "kept\n");
    const caller = new Caller(["true"], {
      preserve: [file],
      change: { process: [{ kind: "wait-start" }] },
      ...(joined ? { joinPid: `/proc/${supervisor.pid}/ns/pid` } : {}),
    });
    const pid = await caller.launched();
    expect(parentOf(pid)).toBe(caller.process.pid);
    // What the program gets; the gate, the socket and the root, which close when it starts.
    expect(openOf(pid)).toHaveLength(7);
    process.kill(pid, "SIGKILL");
    expect((await caller.end()).code).toBe(137);
    const { exit, children } = caller.report("ended");
    expect({ exit, children }).toMatchObject({ exit: { code: 137, signal: 9 }, children: [] });
    expect(exit?.lost).toBeUndefined();
    await supervisor.signal(9);
    await supervisor.exit;
  });

test("the program of a created process has nothing of the gate", async () => {
  const caller = new Caller(["sleep", "1000"], { start: "other", change: { process: [{ kind: "wait-start" }] } });
  const pid = await caller.launched();
  await until("it runs its program", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
  expect(openOf(pid)).toEqual(["0", "1", "2"]);
  expect(readdirSync(caller.directory).sort()).toEqual(["launched.json", "pid"]);
  process.kill(pid, "SIGKILL");
  expect((await caller.end()).code).toBe(137);
});

test("a console socket gets the terminal", async () => {
  const [mine, theirs] = sys.socketpair(SOCK_STREAM, true);
  const whole = plan(rig, ["sh", "-c", "tty; stty size; read a; echo got $a"], { terminal: { rows: 24, columns: 80 } });
  const directory = rig.directory();
  const prepared = await launcher.prepare(whole.stem);
  const streams = { kind: "console", socketFd: theirs } as const;
  const run = await prepared.launchDirect({ plan: whole, directory, io: { kind: "direct", streams } });
  const message = sys.receiveMessage(mine, 64);
  expect(Buffer.from(message!.data).toString()).toBe("/dev/ptmx");
  expect(message!.fds).toHaveLength(1);
  for (const fd of [mine, theirs]) sys.close(fd);
  const master = message!.fds[0]!;
  sys.write(master, Buffer.from("you\n"));
  sys.setNonBlocking(master, true);
  const buffer = Buffer.alloc(4096);
  let said = "";
  await until("it has answered", () => {
    try {
      said += buffer.toString("latin1", 0, sys.read(master, buffer));
    } catch (error) {
      if (!isSysError(error, "EAGAIN")) throw error;
    }
    return said.includes("got you\r\n");
  });
  await until("it has ended", () => !isAlive(run.pid));
  sys.close(master);
  // The terminal's echo may come anywhere in between.
  expect(said).toContain("/dev/pts/0\r\n");
  expect(said).toContain("24 80\r\n");
});

test("a console needs a terminal and a terminal a console", async () => {
  for (const [terminal, streams] of [
    [null, { kind: "console", socketFd: 0 }],
    [
      { rows: 0, columns: 0 },
      { kind: "inherited", stdin: 0, stdout: 1, stderr: 2 },
    ],
  ] as const) {
    const whole = plan(rig, ["true"], { terminal });
    const prepared = await launcher.prepare(whole.stem);
    const launch = prepared.launchDirect({ plan: whole, directory: rig.directory(), io: { kind: "direct", streams } });
    await expect(launch).rejects.toMatchObject({ code: "invalid-argument" });
    expect(isAlive(prepared.pid)).toBe(false);
  }
});
