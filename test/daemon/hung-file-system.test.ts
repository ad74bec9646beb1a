/** A file system whose server does not answer, as source of a bind and as device of a volume: only its users wait, and not for ever. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until, type Conversation } from "./harness.ts";
import { holdings } from "./holdings.ts";
import { heldMore, settledHoldings } from "./settled-holdings.ts";
import { parentOf } from "@fathom/base/testing";

let daemon: TestDaemon;
let hung: string;
let server: Bun.Subprocess<"ignore", "pipe"> | undefined;

beforeAll(async () => {
  daemon = new TestDaemon("hung");
  hung = join(daemon.work, "hung");
  mkdirSync(hung);
  const program = join(daemon.work, "hung-fuse");
  const compiled = Bun.spawnSync(["gcc", "-O1", "-o", program, join(import.meta.dir, "hung-fuse.c")]);
  if (compiled.exitCode !== 0) throw new Error(compiled.stderr.toString());
  server = Bun.spawn([program, hung], { stdin: "ignore", stdout: "pipe" });
  const reader = server.stdout.getReader();
  const { value } = await reader.read();
  expect(Buffer.from(value!).toString()).toBe("ready\n");
  await daemon.start();
  daemon.loadImage();
});
afterAll(async () => {
  await endServer();
  await daemon.close(() => {
    for (const volume of ["plain", "unknown"]) Bun.spawnSync(["umount", "-l", placeOf(volume)]);
    Bun.spawnSync(["umount", "-l", hung]);
  });
});

async function endServer(): Promise<void> {
  server?.kill();
  await server?.exited;
  server = undefined;
}

/** Processes of this daemon that make a call for it: their arguments are "fathom-init call NAME". */
function callers(): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return (
        readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("fathom-init\0call\0") &&
        parentOf(Number(pid)) === daemon.pid
      );
    } catch {
      return false;
    }
  });
}

test("while its server answers, it is a source like any other", () => {
  const { image } = daemon;
  expect(daemon.docker("run", "--rm", "-v", `${hung}/a:/x`, image, "ls", "-a", "/x")).toBe("");
  daemon.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${hung}/b`, "far");
  expect(daemon.docker("run", "--rm", "-v", "far:/x", image, "stat", "-f", "-c", "%T", "/x")).not.toBe("");
  daemon.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${hung}/f`, "near");
  const mounts = ["-v", `${hung}/a:/x`, "-v", "near:/v"];
  daemon.docker("run", "-d", "--name", "uses-it", ...mounts, image, "sleep", "1000");
  daemon.docker("create", "--name", "stopped", ...mounts, image, "true");
  expect(daemon.docker("cp", "uses-it:/x/in", "-")).toContain("in/");
  expect(daemon.docker("cp", "stopped:/v/in", "-")).toContain("in/");
  expect(daemon.docker("cp", "stopped:/x/in", "-")).toContain("in/");
  // The users of a container are looked up in the container's own /etc. An administrator may have mounted a disk at a volume's place.
  daemon.docker("run", "-d", "--privileged", "--name", "hides-users", "-v", `${hung}/a:/x`, image, "sleep", "1000");
  daemon.docker("exec", "hides-users", "mount", "-o", "bind", "/x", "/etc");
  daemon.docker("volume", "create", "plain");
  mkdirSync(placeOf("unknown"), { recursive: true });
  for (const volume of ["plain", "unknown"])
    expect(daemon.run("mount", "--bind", `${hung}/g`, placeOf(volume)).code).toBe(0);
});

test("while it is slow, only those who use it wait", async () => {
  const { image } = daemon;
  server!.kill("SIGUSR2");
  // The harness fails when the daemon stood still during one of its answers.
  const copied = daemon.talk(["docker", "create", "-v", "near:/etc", image, "true"]);
  const listed = daemon.talk(["docker", "system", "df"]);
  const read = daemon.talk(["docker", "cp", "uses-it:/x/in", "-"]);
  const executed = daemon.talk(["docker", "exec", "hides-users", "true"]);
  expect([await read.exited, read.err()]).toEqual([0, ""]);
  expect([await executed.exited, executed.err()]).toEqual([0, ""]);
  expect([await listed.exited, listed.err()]).toEqual([0, ""]);
  // This file system accepts no files.
  expect(await copied.exited).not.toBe(0);
  expect(copied.err()).toContain("fill the volume near with what the image has at /etc");
  server!.kill("SIGUSR2");
}, 60_000);

test("a first copy goes into a mounted volume, but only when the volume is empty", () => {
  const { image } = daemon;
  daemon.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory");
  daemon.docker("run", "-d", "--name", "has-memory", "-v", "memory:/v", image, "sleep", "1000");
  daemon.docker("create", "--name", "copies", "-v", "memory:/etc", image, "true");
  expect(daemon.docker("exec", "has-memory", "ls", "/v").split("\n")).toContain("passwd");
  daemon.docker("exec", "has-memory", "rm", "/v/passwd");
  daemon.docker("create", "--name", "copies-not", "-v", "memory:/etc", image, "true");
  expect(daemon.docker("exec", "has-memory", "ls", "/v").split("\n")).not.toContain("passwd");
  daemon.docker("rm", "-f", "has-memory", "copies", "copies-not");
  daemon.docker("volume", "rm", "memory");
});

function placeOf(volume: string): string {
  return join(daemon.dataRoot, "volumes", volume, "_data");
}

test("when its server does not answer, starts that need it fail and name it, and everything else continues", async () => {
  const { image } = daemon;
  server!.kill("SIGUSR1");
  const docker = (...args: string[]): Conversation => daemon.talk(["docker", ...args]);
  const waiting = [
    ["bind", docker("run", "--name", "needs-bind", "-v", `${hung}/c:/x`, image, "true"), `${hung}/c`],
    ["mount", docker("create", "--mount", `type=bind,src=${hung}/d,dst=/x`, image, "true"), `${hung}/d`],
    ["device", docker("run", "--name", "needs-device", "--device", `${hung}/e`, image, "true"), `${hung}/e`],
    ["volume", docker("run", "--name", "needs-volume", "-v", "far:/x", image, "true"), `${hung}/b`],
  ] as const;
  let ended = 0;
  for (const [, conversation] of waiting) void conversation.exited.then(() => ended++);
  await until("all wait for an answer", () => callers().length === waiting.length);
  let turns = 0;
  while (ended < waiting.length) {
    expect(daemon.docker("run", "--rm", image, "echo", "goes on")).toBe("goes on");
    expect(daemon.docker("ps", "--format", "{{.Names}}")).toBe("hides-users\nuses-it");
    expect(daemon.docker("exec", "uses-it", "echo", "so does this")).toBe("so does this");
    expect((await daemon.request("GET", "/_ping")).status).toBe(200);
    turns++;
  }
  expect(turns).toBeGreaterThan(2);
  for (const [, conversation, path] of waiting) {
    expect(await conversation.exited).not.toBe(0);
    expect(conversation.err()).toContain(`${path} does not answer`);
  }
}, 120_000);

test("a container that has it mounted is exported and committed without it", async () => {
  const file = join(daemon.work, "export.tar");
  const exported = daemon.talk(["docker", "export", "-o", file, "uses-it"]);
  const committed = daemon.talk(["docker", "commit", "--pause=false", "uses-it", "localhost/of-it:1"]);
  expect([await exported.exited, exported.err()]).toEqual([0, ""]);
  expect([await committed.exited, committed.err()]).toEqual([0, ""]);
  expect(daemon.run("tar", "-tf", file).out).toMatch(/^x\/$/m);
  daemon.docker("rmi", "localhost/of-it:1");
}, 60_000);

/** Each command ends with an error that names the path that hangs, and the daemon answers meanwhile. */
async function allEndInWords(calls: ReadonlyMap<string, Promise<string>>): Promise<void> {
  let ended = 0;
  for (const call of calls.values()) void call.finally(() => ended++).catch(() => undefined);
  let answers = 0;
  while (ended < calls.size) {
    expect((await daemon.request("GET", "/_ping")).status).toBe(200);
    answers++;
    // sleep: not faster than a client that watches the daemon
    await Bun.sleep(20);
  }
  expect(answers).toBeGreaterThan(2);
  for (const [what, call] of calls) expect([what, await call]).toEqual([what, expect.stringContaining("not answer")]);
}

async function failureOf(conversation: Conversation): Promise<string> {
  // For an exec that cannot start, the error text is its output.
  return (await conversation.exited) === 0 ? "it worked" : conversation.err() + conversation.out();
}

/** An answer to HEAD has no text, but the daemon has logged it. */
async function failureOfHead(path: string): Promise<string> {
  const { status } = await daemon.request("HEAD", path);
  return status === 500 ? "it does not answer" : `status ${status}`;
}

const archive = (container: string, path: string): string => `/containers/${container}/archive?path=${path}`;

test("cp and stat below a mount of it, running or not, by bind or volume: an error, and the daemon continues", async () => {
  const before = await settledHoldings(daemon);
  const calls = new Map<string, Promise<string>>();
  for (const container of ["uses-it", "stopped"])
    for (const path of ["/x/in", "/v/in"]) {
      calls.set(`HEAD ${container} ${path}`, failureOfHead(archive(container, path)));
      calls.set(
        `GET ${container} ${path}`,
        daemon.request("GET", archive(container, path)).then((answer) => answer.text()),
      );
    }
  await allEndInWords(calls);
  // Each waiting process has its request at the server. It ends with the server; until then the daemon watches it through a descriptor.
  const { descriptors = 0, mounts = 0 } = before;
  expect(await heldMore(daemon, { descriptors: descriptors + calls.size, mounts })).toEqual([]);
  expect(holdings(daemon.pid).detachedMounts).toEqual([]);
}, 120_000);

test("a tree that contains it breaks off, and after some helpers hang, the next request fails at once", async () => {
  const parts = daemon.talk(["sh", "-c", "docker cp hides-users:/ - >/dev/null"]);
  expect(await parts.exited).not.toBe(0);
  const before = callers();
  for (const path of ["/x/one", "/x/two", "/x/three"])
    expect(await (await daemon.request("GET", archive("uses-it", path))).text()).toContain("does not answer");
  expect(callers()).toEqual(before);
}, 120_000);

test("a client that hangs up does not leave its call running until the deadline", async () => {
  const client = new AbortController();
  const before = callers().length;
  const call = daemon.request("GET", archive("hides-users", "/x/in"), undefined, client.signal).catch(() => "hung up");
  await until("it waits for an answer", () => callers().length > before);
  const descriptors = readdirSync(`/proc/${daemon.pid}/fd`).length;
  client.abort();
  expect(await call).toBe("hung up");
  await until("its pipes are closed", () => readdirSync(`/proc/${daemon.pid}/fd`).length < descriptors);
}, 60_000);

test("an exec whose user files are there, and a first copy into a volume there, fail; sizes are computed without it", async () => {
  const { image } = daemon;
  const calls = new Map([
    ["exec", failureOf(daemon.talk(["docker", "exec", "hides-users", "true"]))],
    ["first copy", failureOf(daemon.talk(["docker", "create", "-v", "near:/etc", image, "true"]))],
  ]);
  await allEndInWords(calls);
  const { json } = await daemon.api<{ Volumes: { Name: string; UsageData: { Size: number } }[] }>("GET", "/system/df");
  expect(json.Volumes.find(({ Name }) => Name === "plain")?.UsageData.Size).toBe(-1);
  expect(daemon.docker("volume", "ls", "-q").split("\n")).toContain("plain");
  expect(daemon.run("umount", "-l", placeOf("plain")).code).toBe(0);
}, 120_000);

test("a client that asks again waits for the same call: the number of hanging calls does not grow", async () => {
  const before = callers();
  expect(before.length).toBeGreaterThan(4);
  const mount = `type=bind,src=${hung}/d,dst=/x`;
  const again = [1, 2, 3, 4].map(() => daemon.talk(["docker", "create", "--mount", mount, daemon.image, "true"]));
  for (const conversation of again) {
    expect(await conversation.exited).not.toBe(0);
    expect(conversation.err()).toContain("does not answer");
  }
  expect(callers()).toEqual(before);
}, 300_000);

test("a container that uses it can be stopped and removed", () => {
  daemon.docker("stop", "-t", "1", "uses-it");
  daemon.docker("rm", "-f", "uses-it", "stopped", "hides-users", "needs-bind", "needs-device", "needs-volume");
  expect(daemon.docker("ps", "-aq").split("\n").filter(Boolean)).toEqual([]);
});

test("such a file system does not block the daemon's shutdown, and nothing is left after its end", async () => {
  const stuck = callers();
  expect(stuck.length).toBeGreaterThan(0);
  // The server still has their requests.
  await daemon.stop();
  expect(readdirSync("/proc")).toEqual(expect.arrayContaining(stuck));
  // It does not block the daemon's start either, also when it is mounted at the place of a volume that the next daemon does not know.
  await daemon.start();
  daemon.docker("volume", "create", "unknown");
  expect(daemon.run("umount", "-l", placeOf("unknown")).code).toBe(0);
  await daemon.stop();
  await endServer();
  await until("the calls have ended", () => stuck.every((pid) => !readdirSync("/proc").includes(pid)));
  expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(`${daemon.dataRoot}/volumes`);
  await daemon.start();
  daemon.docker("volume", "rm", "far", "near", "plain", "unknown");
});
