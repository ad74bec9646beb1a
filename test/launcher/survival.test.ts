/** What keeps running without what: daemon, supervisor, container. Nothing is left afterwards. */
import { afterAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { launcher, plan, bothOutputs, logRecords, Reader, Rig, run, start, sys, unframe, unlogged } from "./rig.ts";
import { isAlive, until } from "@fathom/base/testing";

const rig = new Rig();
afterAll(() => rig[Symbol.dispose]());

test("kill -9 of the supervisor ends the container, and the exit says why", async () => {
  const asUser = { kind: "set-user", uid: 1234, gid: 1234, groups: [] } as const;
  for (const process of [[], [asUser]]) {
    const { supervisor } = await start(rig, ["sleep", "1000"], { process });
    sys.kill(supervisor.supervisorPid, 9);
    expect(await supervisor.exit).toMatchObject({ code: 255, lost: "supervisor was killed" });
    await until("the container ends", () => !isAlive(supervisor.pid));
  }
});

test("kill -9 of the supervisor also ends the program below init", async () => {
  const { supervisor, attachments } = await start(rig, ["sh", "-c", "echo up; sleep 1000"], {
    init: true,
    attach: [bothOutputs],
  });
  const reader = new Reader(attachments[0]!.fd);
  await reader.until(/up/);
  sys.kill(supervisor.supervisorPid, 9);
  await supervisor.exit;
  await until("the container ends", () => !isAlive(supervisor.pid));
  await reader.ended;
});

test("a dropped stem leaves nothing", async () => {
  const prepared = await launcher.prepare(plan(rig, ["true"]).stem);
  expect(isAlive(prepared.pid)).toBe(true);
  expect(prepared.networkNamespaceFd).toBeNumber();
  expect(readlinkSync(`/proc/self/fd/${prepared.networkNamespaceFd}`)).toBe(
    readlinkSync(`/proc/${prepared.pid}/ns/net`),
  );
  await prepared.discard();
  expect(existsSync(`/proc/${prepared.pid}`)).toBe(false);
});

test("when its daemon dies before launch, stem and supervisor end by themselves", async () => {
  const script = `
    import { launcher } from ${JSON.stringify(join(import.meta.dir, "rig.ts"))};
    const prepared = await launcher.prepare({ newNamespaces: ["mount", "pid"], cgroupProcs: [] });
    console.log(prepared.pid, prepared.supervisorPid);
    await Bun.sleep(100000); // sleep: until it is killed
`;
  const file = join(rig.base, "daemon.ts");
  writeFileSync(file, script);
  const daemon = Bun.spawn([process.execPath, file], { stdout: "pipe", cwd: import.meta.dir });
  const { value } = await daemon.stdout.getReader().read();
  const [pid, supervisorPid] = Buffer.from(value ?? [])
    .toString()
    .trim()
    .split(" ")
    .map(Number);
  expect(isAlive(pid!)).toBe(true);
  daemon.kill(9);
  await daemon.exited;
  await until("both end", () => !isAlive(pid!) && !isAlive(supervisorPid!));
});

test("after its daemon's death a container keeps running, is found again, and no output is lost", async () => {
  const directory = rig.directory();
  const script = `
    import { Rig, start } from ${JSON.stringify(join(import.meta.dir, "rig.ts"))};
    const rig = new Rig();
    const { supervisor } = await start(rig, ["sh", "-c", "for i in $(seq 40); do echo $i; sleep 0.01; done; read a; echo $a; exit 9"],
      { directory: ${JSON.stringify(directory)}, openStdin: true });
    console.log(supervisor.pid, rig.base);
    await Bun.sleep(100000); // sleep: until it is killed
`;
  const file = join(rig.base, "daemon.ts");
  writeFileSync(file, script);
  const daemon = Bun.spawn([process.execPath, file], { stdout: "pipe", cwd: import.meta.dir });
  const { value } = await daemon.stdout.getReader().read();
  const [pid, base] = Buffer.from(value ?? [])
    .toString()
    .trim()
    .split(" ");
  daemon.kill(9);
  await daemon.exited;
  const found = await launcher.reconnect(directory);
  expect(found.kind).toBe("running");
  if (found.kind !== "running") return;
  expect(found.supervisor.pid).toBe(Number(pid));
  expect(Date.parse(found.supervisor.startedAt)).toBeGreaterThan(Date.now() - 10_000);
  const attachment = await found.supervisor.attach({ stdin: true, stdout: true, stderr: true, closeStdin: true });
  const reader = new Reader(attachment.fd);
  reader.socket.write("last\n");
  expect((await found.supervisor.exit).code).toBe(9);
  expect(unframe(await reader.ended).stdout).toEndWith("last\n");
  const log = logRecords(join(directory, "log")).map((record) => record.log);
  expect(log).toEqual([...Array.from({ length: 40 }, (_, index) => `${index + 1}\n`), "last\n"]);
  const again = await launcher.reconnect(directory);
  expect(again.kind).toBe("exited");
  await Bun.$`rm -rf ${base}`.quiet();
});

test("the exit status is on disk also when nobody is connected", async () => {
  const { supervisor, directory } = await start(rig, ["sh", "-c", "sleep 0.1; exit 7"]);
  supervisor.disconnect();
  await until("the supervisor ends", () => !isAlive(supervisor.supervisorPid));
  expect(readdirSync(directory).sort()).toEqual(["exit", "log"]);
  const found = await launcher.reconnect(directory);
  expect(found).toMatchObject({ kind: "exited", exit: { code: 7, signal: 0 } });
  expect(await launcher.reconnect(rig.directory())).toEqual({ kind: "gone" });
});

test("a directory can be used again, and the old status is removed while it runs", async () => {
  const first = await start(rig, ["sh", "-c", "exit 3"]);
  await first.supervisor.exit;
  await until("the first ends", () => !isAlive(first.supervisor.supervisorPid));
  const second = await start(rig, ["sleep", "1000"], { directory: first.directory });
  const found = await launcher.reconnect(first.directory);
  expect(found.kind).toBe("running");
  if (found.kind === "running") {
    await found.supervisor.signal(9);
    expect((await found.supervisor.exit).code).toBe(137);
  }
  expect((await second.supervisor.exit).code).toBe(137);
});

test("two daemons may be connected; both learn of the exit", async () => {
  const { supervisor, directory } = await start(rig, ["sleep", "1000"]);
  const found = await launcher.reconnect(directory);
  if (found.kind !== "running") throw new Error(found.kind);
  await supervisor.signal(15);
  await found.supervisor.signal(9);
  expect((await supervisor.exit).code).toBe(137);
  expect((await found.supervisor.exit).code).toBe(137);
});

test("only the owner can use the socket, and a bad message affects only its own connection", async () => {
  const { supervisor, directory } = await start(rig, ["sleep", "1000"]);
  const socket = join(directory, "supervisor.sock");
  expect(statSync(socket).mode & 0o777).toBe(0o600);
  const header = (length: number, type: number): Buffer => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(0x314d5446, 0);
    bytes.writeUInt32LE(length, 4);
    bytes.writeUInt32LE(type, 8);
    bytes.writeUInt32LE(7, 12);
    return bytes;
  };
  const attempts: readonly Buffer[] = [
    Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    header(0xffffffff, 3),
    Buffer.concat([header(4, 5), Buffer.from([255, 255, 255, 255])]),
    Buffer.concat([header(8, 2), Buffer.alloc(8, 255)]),
    Buffer.concat([header(4, 1), Buffer.alloc(4)]),
    header(0, 999),
    header(10, 3),
  ];
  for (const bytes of attempts) {
    const client = connect(socket);
    client.on("error", () => undefined);
    client.write(bytes);
    await Bun.sleep(10);
    client.destroy();
  }
  expect(isAlive(supervisor.pid)).toBe(true);
  const found = await launcher.reconnect(directory);
  expect(found.kind).toBe("running");
  await supervisor.signal(9);
  expect((await supervisor.exit).code).toBe(137);
});

test("wait-start holds a created process until start; when it is killed before, it exits", async () => {
  const process = [{ kind: "wait-start" }] as const;
  const created = await start(rig, ["sh", "-c", "echo ran; exit 4"], { process, attach: [bothOutputs] });
  const reader = new Reader(created.attachments[0]!.fd);
  // sleep: a program that nothing holds prints within a few milliseconds
  await Bun.sleep(30);
  expect(reader.received.length).toBe(0);
  await created.supervisor.start();
  expect((await created.supervisor.exit).code).toBe(4);
  expect(unframe(await reader.ended).stdout).toBe("ran\n");
  const other = await start(rig, ["true"], { process });
  await other.supervisor.signal(9);
  expect(await other.supervisor.exit).toMatchObject({ code: 137, signal: 9 });
});

test("an aborted launch leaves nothing", async () => {
  const whole = plan(rig, ["sleep", "1000"]);
  const prepared = await launcher.prepare(whole.stem);
  const directory = rig.directory();
  const abort = new AbortController();
  const launch = prepared.launch({ plan: whole, directory, io: unlogged() }, abort.signal);
  abort.abort(new Error("changed my mind"));
  await expect(launch).rejects.toThrow("changed my mind");
  await launch.catch(() => undefined);
  await until("the process ends", () => !isAlive(prepared.pid));
  expect(readdirSync(directory)).toEqual([]);
});

test("the supervisor itself is small", async () => {
  const { supervisor } = await start(rig, ["sh", "-c", "seq 100; exec sleep 1000"]);
  // sleep: the supervisor has copied its output and is idle
  await Bun.sleep(50);
  const rollup = readFileSync(`/proc/${supervisor.supervisorPid}/smaps_rollup`, "utf8");
  const pssKb = Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1]);
  expect(pssKb).toBeLessThan(500);
  expect(readFileSync(`/proc/${supervisor.supervisorPid}/status`, "utf8")).toContain("Threads:\t1\n");
  await supervisor.signal(9);
  await supervisor.exit;
});

test("a hundred starts and stops leave no process, descriptor or file", async () => {
  await run(rig, ["true"]);
  // sleep: the descriptors of the first run are closed by then; if one closes later, the count only becomes smaller
  await Bun.sleep(100);
  const before = readdirSync("/proc/self/fd").length;
  const pids: number[] = [];
  for (let turn = 0; turn < 100; turn++) {
    const { supervisor, attachments, directory } = await start(rig, ["true"], { attach: [bothOutputs] });
    pids.push(supervisor.pid, supervisor.supervisorPid);
    await new Reader(attachments[0]!.fd).ended;
    expect((await supervisor.exit).code).toBe(0);
    await Bun.$`rm -r ${directory}`.quiet();
  }
  await until("all are reaped", () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
  await until("all descriptors are closed", () => readdirSync("/proc/self/fd").length <= before);
});

test("a link in place of the socket or of the exit file is not followed", async () => {
  const directory = rig.directory();
  const victim = join(rig.base, "victim");
  writeFileSync(victim, "untouched");
  for (const name of ["supervisor.sock", "exit", "exit.new"]) symlinkSync(victim, join(directory, name));
  const { supervisor } = await start(rig, ["true"], { directory });
  await supervisor.exit;
  await until("the supervisor ends", () => !isAlive(supervisor.supervisorPid));
  expect(readFileSync(victim, "utf8")).toBe("untouched");
});

test("a status that cannot be written to the disk is reported, and stored as soon as there is room", async () => {
  const disk = join(rig.base, "small");
  mkdirSync(disk);
  sys.mount("tmpfs", disk, "tmpfs", 0, "nr_inodes=6");
  try {
    const { supervisor } = await start(rig, ["sh", "-c", "read a; exit 5"], {
      openStdin: true,
      directory: disk,
      log: { kind: "none" },
    });
    const { fd } = await supervisor.attach({ stdin: true, stdout: false, stderr: false, closeStdin: false });
    for (let index = 0; ; index++) {
      try {
        writeFileSync(join(disk, `ballast-${index}`), "");
      } catch {
        break;
      }
    }
    sys.write(fd, Buffer.from("\n"));
    expect(await supervisor.exit).toMatchObject({ code: 5 });
    sys.close(fd);
    supervisor.disconnect();
    // A daemon that connects now still learns it.
    const found = await launcher.reconnect(disk);
    expect(found.kind).toBe("running");
    if (found.kind === "running") expect(await found.supervisor.exit).toMatchObject({ code: 5 });
    sys.mount("tmpfs", disk, "tmpfs", 0x20, "nr_inodes=100");
    await until("the supervisor ends", () => !isAlive(supervisor.supervisorPid));
    expect(await launcher.reconnect(disk)).toMatchObject({ kind: "exited", exit: { code: 5 } });
  } finally {
    sys.umount(disk, 2);
  }
});
