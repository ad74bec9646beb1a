/**
 * What a container with CAP_SYS_PTRACE finds at processes that are being made beside it (test/prober/prober.c): nothing that does not belong to
 * the container. The processes are execs in it, and containers that join its pid namespace.
 */
import { afterAll, expect, test } from "bun:test";
import { constants } from "node:os";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { randomId } from "@fathom/base";
import type { LaunchPlan, Operation, Supervisor } from "@fathom/runtime";
import {
  bothOutputs,
  execOperation,
  launcher,
  plan,
  Reader,
  Rig,
  rootOperations,
  start,
  sys,
  unframe,
  unlogged,
  fileLog,
} from "./rig.ts";
import { until } from "@fathom/base/testing";

const { ECANCELED, ENOENT, ETIMEDOUT } = constants.errno;

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

const program = join(rig.rootfs, "bin/prober");
await Bun.$`gcc -O2 -static -std=gnu11 -Wall -Wextra -Werror ${join(import.meta.dir, "../prober/prober.c")} -o ${program}`.quiet();

const hostRoot = statSync("/");
const forbidden = [
  `${hostRoot.dev}:${hostRoot.ino}`,
  ...["mnt", "net", "pid", "uts", "ipc"].map((kind) => readlinkSync(`/proc/self/ns/${kind}`)),
];
const secret = "another-execs-password";
const moved = [...secret].map((letter) => String.fromCharCode(letter.charCodeAt(0) + 1)).join("");

/** Docker's default capabilities and CAP_SYS_PTRACE, as masks. */
const rights = 0xa80425fbn | (1n << 19n);
const capabilities: Operation[] = [
  { kind: "bounding-set", keep: rights },
  { kind: "capabilities", effective: rights, permitted: rights, inheritable: 0n, ambient: 0n },
];

interface Found {
  readonly openers: number;
  readonly newborn: number;
  readonly hits: number;
  readonly text: string;
}

/** A container whose program is the prober; `end` stops it and returns what it found. */
async function prober(
  options: readonly string[],
  init = false,
): Promise<{ supervisor: Supervisor; said: Reader; end: () => Promise<Found> }> {
  const { supervisor, attachments } = await start(rig, ["prober", ...options, ...forbidden], {
    process: capabilities,
    attach: [bothOutputs],
    init,
  });
  const reader = new Reader(attachments[0]!.fd);
  await reader.until(/looking/);
  return {
    supervisor,
    said: reader,
    async end() {
      await supervisor.signal(15);
      const text = unframe(await reader.ended).stdout;
      const [, newborn, hits] = /newborn (\d+) hits (\d+)/.exec(text) ?? [];
      const [, openers] = /^openers (\d+)$/m.exec(text) ?? [];
      return { openers: Number(openers ?? 0), newborn: Number(newborn), hits: Number(hits), text };
    },
  };
}

const SIGUSR1 = 10;

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

/** Its children that have ended but that a tracer keeps. */
const keptChildren = (parent: number): number =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statusOf(Number(name)))
    .filter((status) => /^State:\s+Z/m.test(status) && !/^TracerPid:\s+0$/m.test(status))
    .filter((status) => Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) === parent).length;

/** How often the process waited voluntarily. */
const waits = (pid: number): number => Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(statusOf(pid))?.[1]);

const newSession: Operation = { kind: "new-session" };
const oomScore: Operation = { kind: "oom-score-adj", value: 0 };

async function exec(
  supervisor: Supervisor,
  argv: readonly string[],
  more: { env?: readonly string[]; terminal?: LaunchPlan["terminal"]; process?: readonly Operation[] } = {},
): Promise<{ code: number; output: Buffer }> {
  const handle = await supervisor.exec({
    execId: randomId(),
    plan: {
      version: 1,
      stem: { newNamespaces: [], cgroupProcs: [] },
      operations: [
        newSession,
        oomScore,
        ...(more.process ?? capabilities),
        execOperation(argv, { env: more.env ?? [] }),
      ],
      terminal: more.terminal ?? null,
    },
    openStdin: false,
    attach: [bothOutputs],
  });
  const output = await new Reader(handle.attachments[0]!.fd).ended;
  return { code: (await handle.exit).code, output };
}

test("200 execs, with and without a terminal, show nothing of the host, of the supervisor or of other execs", async () => {
  const { supervisor, end } = await prober(["--secret", moved]);
  // Its output and its environment go through the supervisor.
  await exec(supervisor, ["sh", "-c", "echo $WORD"], { env: [`WORD=${secret}`] });
  await supervisor.signal(SIGUSR1);
  for (let turn = 0; turn < 50; turn++) {
    const ended = await Promise.all([
      exec(supervisor, ["true"]),
      exec(supervisor, ["true"]),
      exec(supervisor, ["true"], { terminal: { rows: 1, columns: 1 } }),
      exec(supervisor, ["true"], {
        process: [{ kind: "set-user", uid: 1000, gid: 1000, groups: [] }, ...capabilities],
      }),
    ]);
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  }
  const found = await end();
  expect(found.text).not.toContain("hit:");
  expect(found.hits).toBe(0);
  // The prober saw them: a prober that is always too late proves nothing.
  expect(found.newborn).toBeGreaterThan(20);
}, 120_000);

test("Fathom's own init, which stays in the container, has nothing else either", async () => {
  const { supervisor, end } = await prober(["--secret", moved], true);
  await exec(supervisor, ["sh", "-c", "echo $WORD"], { env: [`WORD=${secret}`] });
  await supervisor.signal(SIGUSR1);
  for (let turn = 0; turn < 10; turn++) expect((await exec(supervisor, ["true"])).code).toBe(0);
  const found = await end();
  expect(found.text).not.toContain("hit:");
  expect(found.newborn).toBeGreaterThan(5);
});

/** Starts a container in the other's pid namespace, as a user would, and returns the exit code. */
async function joinedStart(other: Supervisor): Promise<number> {
  const whole = plan(rig, [], { namespaces: ["mount", "network", "ipc", "uts"] });
  const stem = { ...whole.stem, joinPidNamespace: `/proc/${other.pid}/ns/pid` };
  const prepared = await launcher.prepare(stem);
  const directory = rig.directory();
  const { supervisor, attachments } = await prepared.launch({
    plan: {
      ...whole,
      stem,
      operations: [
        ...rootOperations(rig),
        oomScore,
        ...capabilities,
        execOperation(["sh", "-c", "ls /proc/1 > /dev/null && echo $$"]),
      ],
    },
    directory,
    io: { ...unlogged([bothOutputs]), log: fileLog(directory) },
  });
  const pid = Number(unframe(await new Reader(attachments[0]!.fd).ended).stdout);
  expect(pid).toBeGreaterThan(1);
  return (await supervisor.exit).code;
}

for (const [who, mode] of [
  ["", []],
  [" to one that stops each process at its birth", ["--catch"]],
] as const)
  test(`50 containers that join the pid namespace never show the host's root${who}`, async () => {
    const { supervisor, end } = await prober(["--joined", ...mode]);
    for (let turn = 0; turn < 50; turn++) expect(await joinedStart(supervisor)).toBe(0);
    const found = await end();
    expect(found.text).not.toContain("hit:");
    expect(found.hits).toBe(0);
    expect(found.newborn).toBeGreaterThan(5);
    if (mode.length > 0) expect(found.openers).toBeGreaterThan(0);
  }, 120_000);

test("a prober that takes control of the process that opens a joined container's /proc can do nothing with it", async () => {
  const { supervisor, end } = await prober(["--joined", "--take-over"]);
  let failed = 0;
  // Each call of its list, twice. It does not catch each opener.
  for (let turn = 0; failed < 16 && turn < 1000; turn++)
    await joinedStart(supervisor).catch((error: unknown) => {
      expect(error).toMatchObject({ stage: "launch", errno: ECANCELED });
      failed++;
    });
  const found = await end();
  expect(found.text).not.toContain("hit:");
  expect(found.hits).toBe(0);
  expect(failed).toBe(16);
  expect(found.openers).toBeGreaterThanOrEqual(failed);
}, 120_000);

test("a prober that stops the process that opens /proc delays the start, which then fails", async () => {
  const { supervisor, said, end } = await prober(["--joined", "--hold"]);
  let refused: unknown;
  for (let turn = 0; refused === undefined && turn < 1000; turn++)
    await joinedStart(supervisor).catch((error: unknown) => (refused = error));
  expect(refused).toMatchObject({
    stage: "launch",
    call: "fsopen",
    detail: "a procfs of the pid namespace that is joined",
    errno: ETIMEDOUT,
  });
  await said.until(/held/);
  expect((await end()).openers).toBe(1);
}, 60_000);

test("a container that keeps the dead processes of its execs neither blocks its supervisor nor makes it spin", async () => {
  const { supervisor } = await prober(["--keep"]);
  const kept = (): number => keptChildren(supervisor.supervisorPid);
  // The prober does not catch each. One exec ran, and one could not be started, so the supervisor dropped it.
  let running: Promise<{ code: number }> | undefined;
  for (let turn = 0; kept() === 0 && turn < 200; turn++) {
    let over = false;
    running = exec(supervisor, ["true"]);
    void running.then(() => (over = true));
    await until("it has ended", () => over || kept() === 1);
  }
  for (let turn = 0; kept() < 2 && turn < 200; turn++)
    await expect(exec(supervisor, ["nosuch"])).rejects.toMatchObject({ stage: "launch", call: "stat", errno: ENOENT });
  expect(kept()).toBe(2);
  const before = waits(supervisor.supervisorPid);
  // A loop that spins never waits.
  await until("its loop waits", () => waits(supervisor.supervisorPid) - before > 3);
  await supervisor.signal(9);
  expect((await supervisor.exit).code).toBe(137);
  expect((await running)?.code).toBe(0);
}, 60_000);

test("an exec is made although its filter forbids making processes", async () => {
  const { supervisor, attachments } = await start(rig, ["cat"], { openStdin: true, attach: [bothOutputs] });
  const instruction = (code: number, jt: number, jf: number, k: number): Uint8Array => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(code, 0);
    bytes.set([jt, jf], 2);
    bytes.writeUInt32LE(k, 4);
    return bytes;
  };
  // clone, clone3, setns: EPERM, or the end of the process; everything else is allowed.
  const numbers = process.arch === "arm64" ? [220, 435, 268] : [56, 435, 308];
  for (const forbid of [0x00050001, 0x80000000]) {
    const filter = Buffer.concat([
      instruction(0x20, 0, 0, 0),
      ...numbers.map((number, index) => instruction(0x15, numbers.length - index, 0, number)),
      instruction(0x06, 0, 0, 0x7fff0000),
      instruction(0x06, 0, 0, forbid),
    ]);
    const { code, output } = await exec(supervisor, ["grep", "-E", "^(Seccomp|CapPrm):", "/proc/self/status"], {
      process: [{ kind: "seccomp", program: new Uint8Array(filter), flags: 0 }, ...capabilities],
    });
    expect(code).toBe(0);
    expect(unframe(output).stdout).toBe(`CapPrm:\t${rights.toString(16).padStart(16, "0")}\nSeccomp:\t2\n`);
  }
  await supervisor.signal(9);
  await supervisor.exit;
  for (const { fd } of attachments) sys.close(fd);
});
