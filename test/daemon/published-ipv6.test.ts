/** A port published on [::], with real containers: a process of its own forwards it, also when the daemon ends. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until, type Conversation } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("ipv6");
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

const files = (): string => join(daemon.work, "run/forward");
const forwarders = (): number[] =>
  existsSync(files()) ? readdirSync(files()).map((name) => Number(readFileSync(join(files(), name), "utf8"))) : [];
const connect = (port: number): Conversation => daemon.talk(["busybox", "nc", "::1", `${port}`]);
const answers = async (connection: Conversation, text: string): Promise<void> => {
  connection.write(`${text}\n`);
  await until(`an answer to ${text}`, () => connection.out().endsWith(`${text}\n`));
};
/** Nobody uses the port. */
const isFree = (port: number): boolean => daemon.run("busybox", "nc", "-w", "1", "::1", `${port}`).code !== 0;
/** A container whose port sends back what it receives. It listens when this resolves. */
async function serve(name: string, port: number): Promise<void> {
  daemon.fathom("run", "-d", "--name", name, "-p", `${port}:80`, daemon.image, "nc", "-ll", "-p", "80", "-e", "cat");
  await listens(name);
}
const listens = (name: string): Promise<void> =>
  until("the container listens", () => daemon.fathom("exec", name, "netstat", "-ltn").includes(":80 "));

test("while no daemon runs, connections continue and new ones work; the next daemon takes over the port", async () => {
  await serve("web", 8610);
  const open = connect(8610);
  await answers(open, "before");
  const [pid] = forwarders();
  // It is not in the daemon's cgroup, so the end of that cgroup does not end it.
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain(`${daemon.cgroupParent}/supervisors\n`);
  await daemon.kill();
  await answers(open, "daemon dead");
  const meanwhile = connect(8610);
  await answers(meanwhile, "new one");
  await daemon.start();
  expect(forwarders()).toEqual([pid!]);
  await answers(open, "after");
  await answers(meanwhile, "after");
  await answers(connect(8610), "newer one");
  daemon.fathom("rm", "-f", "web");
  expect([await open.exited, forwarders()]).toEqual([0, []]);
  // Its new parent (the process that adopts the daemon's children) reaps it.
  await until("the forwarder's process is gone", () => !existsSync(`/proc/${pid}`));
  expect(isFree(8610)).toBe(true);
  // The port is free at once for the next one.
  await serve("again", 8610);
  await answers(connect(8610), "again");
  daemon.fathom("rm", "-f", "again");
}, 60_000);

test("a container that ended while no daemon ran leaves no port", async () => {
  await serve("short", 8611);
  await answers(connect(8611), "x");
  const container = Number(daemon.fathom("inspect", "-f", "{{.State.Pid}}", "short"));
  await daemon.kill();
  process.kill(container, "SIGKILL");
  await daemon.start();
  await until("the end is known", () => daemon.fathom("inspect", "-f", "{{.State.Status}}", "short") === "exited");
  expect(forwarders()).toEqual([]);
  expect(isFree(8611)).toBe(true);
  daemon.fathom("start", "short");
  await listens("short");
  await answers(connect(8611), "again");
  daemon.fathom("rm", "-f", "short");
}, 60_000);

test("the next daemon replaces a forwarder that was killed while no daemon ran", async () => {
  await serve("robbed", 8612);
  await answers(connect(8612), "x");
  const [pid] = forwarders();
  await daemon.kill();
  process.kill(pid!, "SIGKILL");
  await daemon.start();
  await answers(connect(8612), "again");
  daemon.fathom("rm", "-f", "robbed");
  expect(forwarders()).toEqual([]);
}, 60_000);

test("a killed forwarder is started again, also one of an earlier daemon", async () => {
  await serve("held", 8616);
  await answers(connect(8616), "x");
  for (const whose of ["its own", "adopted", "again"]) {
    if (whose === "adopted") {
      await daemon.kill();
      await daemon.start();
    }
    const [pid] = forwarders();
    process.kill(pid!, "SIGKILL");
    await until(`another forwarder: ${whose}`, () => (forwarders()[0] ?? 0) > 0 && forwarders()[0] !== pid);
    await answers(connect(8616), whose);
  }
  // When its container ends, it ends too, and no new one is started.
  const [pid] = forwarders();
  daemon.fathom("rm", "-f", "held");
  await until("the forwarder's process is gone", () => !existsSync(`/proc/${pid}`));
  // If its last end caused a new start, that would have happened by now.
  await serve("next", 8617);
  expect(forwarders()).toHaveLength(1);
  daemon.fathom("rm", "-f", "next");
  expect(forwarders()).toEqual([]);
}, 60_000);

test("connections from outside do not use the daemon's resources", async () => {
  await serve("busy", 8613);
  const sockets = (pid: number): number =>
    readdirSync(`/proc/${pid}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:");
      } catch {
        return false;
      }
    }).length;
  const before = sockets(daemon.pid);
  const many = Array.from({ length: 20 }, () => connect(8613));
  for (const one of many) await answers(one, "x");
  expect(sockets(forwarders()[0]!)).toBeGreaterThanOrEqual(40);
  expect(sockets(daemon.pid)).toBeLessThanOrEqual(before + 2);
  for (const one of many) one.kill();
  daemon.fathom("rm", "-f", "busy");
}, 60_000);

test("each container has its own forwarder; a rejected start leaves none", async () => {
  await serve("one", 8614);
  await serve("two", 8615);
  expect(forwarders()).toHaveLength(2);
  const { code, err } = daemon.cli("run", "-d", "--name", "bad", "-p", "8616:80", daemon.image, "nosuchprogram");
  expect([code, err.includes("nosuchprogram"), forwarders().length]).toEqual([127, true, 2]);
  expect(daemon.cli("run", "-d", "--name", "twice", "-p", "8615:80", daemon.image, "true").code).toBe(125);
  daemon.fathom("rm", "-f", "one", "two", "bad", "twice");
  expect(forwarders()).toEqual([]);
}, 60_000);
