/** Additional processes in a running container. */
import { afterAll, expect, test } from "bun:test";
import { constants } from "node:os";
import { randomId } from "@fathom/base";
import { execWords } from "@fathom/engine";
import {
  LaunchFailure,
  type AttachOptions,
  type ExecHandle,
  type LaunchPlan,
  type Operation,
  type Supervisor,
} from "@fathom/runtime";
import { bothOutputs, execOperation, Reader, Rig, start, unframe, withInput } from "./rig.ts";
import { isAlive, until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

interface ExecOptions {
  readonly process?: readonly Operation[];
  readonly terminal?: LaunchPlan["terminal"];
  readonly openStdin?: boolean;
  readonly attach?: readonly AttachOptions[];
  readonly cgroupProcs?: readonly string[];
}

function exec(supervisor: Supervisor, argv: readonly string[], options: ExecOptions = {}): Promise<ExecHandle> {
  return supervisor.exec({
    execId: randomId(),
    plan: {
      version: 1,
      stem: { newNamespaces: [], cgroupProcs: options.cgroupProcs ?? [] },
      operations: [{ kind: "new-session" }, ...(options.process ?? []), execOperation(argv)],
      terminal: options.terminal ?? null,
    },
    openStdin: options.openStdin ?? false,
    attach: options.attach ?? [bothOutputs],
  });
}

async function container(argv: readonly string[] = ["sleep", "1000"], init = true): Promise<Supervisor> {
  return (await start(rig, argv, { init, inRoot: [{ kind: "set-hostname", name: "inside" }] })).supervisor;
}

async function end(supervisor: Supervisor): Promise<void> {
  await supervisor.signal(9);
  await supervisor.exit;
}

test("an exec has the container's namespaces, its own output and its own exit code", async () => {
  const supervisor = await container();
  const handle = await exec(supervisor, [
    "sh",
    "-c",
    "hostname; readlink /proc/1/ns/mnt; readlink /proc/self/ns/mnt; exit 42",
  ]);
  const output = unframe(await new Reader(handle.attachments[0]!.fd).ended).stdout.split("\n");
  expect(output[0]).toBe("inside");
  expect(output[1]).toBe(output[2]!);
  expect(await handle.exit).toMatchObject({ code: 42, signal: 0 });
  const names = await exec(supervisor, ["ps", "-o", "pid,comm"]);
  expect(unframe(await new Reader(names.attachments[0]!.fd).ended).stdout).toContain("sleep");
  await end(supervisor);
});

test("an exec that ends at once, killed, or with input", async () => {
  const supervisor = await container();
  for (let turn = 0; turn < 20; turn++) expect((await (await exec(supervisor, ["true"])).exit).code).toBe(0);
  expect((await (await exec(supervisor, ["sh", "-c", "kill -9 $$"])).exit).code).toBe(137);
  const handle = await exec(supervisor, ["wc", "-l"], { openStdin: true, attach: [withInput] });
  const reader = new Reader(handle.attachments[0]!.fd);
  reader.socket.end("a\nb\n");
  expect(unframe(await reader.ended).stdout).toBe("2\n");
  const other = await exec(supervisor, ["sleep", "50"]);
  await supervisor.signal(15, other.execId);
  expect((await other.exit).code).toBe(143);
  await end(supervisor);
});

test("a terminal in an exec is the next one, and can be resized", async () => {
  const supervisor = await container();
  const handle = await exec(supervisor, ["sh", "-c", "tty; read a; stty size"], {
    terminal: { rows: 10, columns: 20 },
    openStdin: true,
    attach: [withInput],
  });
  const reader = new Reader(handle.attachments[0]!.fd);
  await reader.until(/\/dev\/pts\/0/);
  await supervisor.resize(30, 90, handle.execId);
  reader.socket.write("\r");
  expect((await handle.exit).code).toBe(0);
  expect((await reader.ended).toString()).toContain("30 90");
  await end(supervisor);
});

test("a program that cannot be executed is rejected, and the container continues", async () => {
  const supervisor = await container();
  const missing = await exec(supervisor, ["nosuch"]).catch((error: unknown) => error);
  expect(missing).toMatchObject({ code: "executable-not-found" });
  expect(missing).toBeInstanceOf(LaunchFailure);
  expect(execWords(missing as LaunchFailure)).toBe(
    'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH',
  );
  expect(await exec(supervisor, ["/etc"]).catch((error: unknown) => error)).toMatchObject({ code: "not-executable" });
  const directory = { kind: "working-directory", path: "/no/dir", create: false } as const;
  const lost = await exec(supervisor, ["pwd"], { process: [directory] }).catch((error: unknown) => error);
  expect(lost).toMatchObject({ code: "executable-not-found" });
  expect(lost).toMatchObject({ call: "chdir", path: "/no/dir" });
  const plain = await exec(supervisor, ["echo", "still here"]);
  expect(unframe(await new Reader(plain.attachments[0]!.fd).ended).stdout).toBe("still here\n");
  await end(supervisor);
});

test("init reaps the orphans of execs; without init they stay", async () => {
  for (const init of [true, false]) {
    const supervisor = await container(["sleep", "1000"], init);
    await (
      await exec(supervisor, ["sh", "-c", "sleep 0.05 &"])
    ).exit;
    await Bun.sleep(150);
    const count = await exec(supervisor, ["sh", "-c", "ps -o stat,comm | grep -c '^Z'"]);
    expect(unframe(await new Reader(count.attachments[0]!.fd).ended).stdout).toBe(init ? "0\n" : "1\n");
    await end(supervisor);
  }
});

test("output that a child of an ended exec holds open is closed after a while", async () => {
  const supervisor = await container();
  const handle = await exec(supervisor, ["sh", "-c", "echo early; sleep 30 &"]);
  const started = Date.now();
  expect((await handle.exit).code).toBe(0);
  expect(Date.now() - started).toBeLessThan(1000);
  expect(unframe(await new Reader(handle.attachments[0]!.fd).ended).stdout).toBe("early\n");
  expect(Date.now() - started).toBeLessThan(5000);
  await end(supervisor);
});

test("when the container ends, its execs end, and each has its status", async () => {
  const supervisor = await container();
  const handles = await Promise.all(Array.from({ length: 10 }, () => exec(supervisor, ["sleep", "100"])));
  await supervisor.signal(9);
  expect((await supervisor.exit).code).toBe(137);
  for (const handle of handles) expect((await handle.exit).code).toBe(137);
  for (const handle of handles) await new Reader(handle.attachments[0]!.fd).ended;
  await until("the supervisor ends", () => !isAlive(supervisor.supervisorPid));
});

test("an exec without clients runs, and its output is dropped", async () => {
  const supervisor = await container();
  const handle = await exec(supervisor, ["sh", "-c", "seq 100000; echo x > /tmp/made"], { attach: [] });
  expect((await handle.exit).code).toBe(0);
  const look = await exec(supervisor, ["cat", "/tmp/made"]);
  expect(unframe(await new Reader(look.attachments[0]!.fd).ended).stdout).toBe("x\n");
  await end(supervisor);
});

test("a second exec with the same id is rejected", async () => {
  const supervisor = await container();
  const request = {
    execId: randomId(),
    plan: {
      version: 1,
      stem: { newNamespaces: [], cgroupProcs: [] },
      operations: [execOperation(["sleep", "10"])],
      terminal: null,
    },
    openStdin: false,
    attach: [],
  } as const;
  await supervisor.exec(request);
  await expect(supervisor.exec(request)).rejects.toThrow();
  await supervisor.exec(request).catch(() => undefined);
  await end(supervisor);
});

test("a limit of processes counts the container's processes, not the process that makes them", async () => {
  // The kernel counts a user's processes on the whole machine, so the test needs a user that nobody else has.
  const uid = 100_000 + process.pid;
  const user: readonly Operation[] = [
    { kind: "rlimit", resource: "RLIMIT_NPROC", soft: 2n, hard: 2n },
    { kind: "set-user", uid, gid: uid, groups: [] },
    { kind: "bounding-set", keep: 0n },
    { kind: "capabilities", effective: 0n, permitted: 0n, inheritable: 0n, ambient: 0n },
  ];
  const { supervisor } = await start(rig, ["sleep", "1000"], { process: user });
  for (let turn = 0; turn < 5; turn++) {
    const handle = await exec(supervisor, ["sh", "-c", "ulimit -Su; ulimit -Hu"], { process: user });
    expect(unframe(await new Reader(handle.attachments[0]!.fd).ended).stdout).toBe("2\n2\n");
    expect((await handle.exit).code).toBe(0);
  }
  const second = await exec(supervisor, ["sleep", "1000"], { process: user });
  await expect(exec(supervisor, ["true"], { process: user })).rejects.toMatchObject({
    stage: "launch",
    errno: constants.errno.EAGAIN,
  });
  await supervisor.signal(9);
  await supervisor.exit;
  await second.exit;
});
