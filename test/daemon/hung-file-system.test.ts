/** A file system whose server is away, as source of a bind and as device of a volume: only who uses it waits, and not for ever. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until, type Conversation } from "./harness.ts";

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
  await daemon.close(() => Bun.spawnSync(["umount", "-l", hung]));
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
      const parent = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      return (
        readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("fathom-init\0call\0") && Number(parent) === daemon.pid
      );
    } catch {
      return false;
    }
  });
}

test("while its server answers it is a source like any other", () => {
  const { image } = daemon;
  expect(daemon.docker("run", "--rm", "-v", `${hung}/a:/x`, image, "ls", "-a", "/x")).toBe("");
  daemon.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${hung}/b`, "far");
  expect(daemon.docker("run", "--rm", "-v", "far:/x", image, "stat", "-f", "-c", "%T", "/x")).not.toBe("");
  daemon.docker("run", "-d", "--name", "uses-it", "-v", `${hung}/a:/x`, image, "sleep", "1000");
});

test("when it is away the starts that need it fail and name it, and everything else goes on", async () => {
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
    expect(daemon.docker("ps", "--format", "{{.Names}}")).toBe("uses-it");
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

test("who asks again waits for the same call: what hangs does not grow", async () => {
  const before = callers();
  expect(before).toHaveLength(4);
  const mount = `type=bind,src=${hung}/d,dst=/x`;
  const again = [1, 2, 3, 4].map(() => daemon.talk(["docker", "create", "--mount", mount, daemon.image, "true"]));
  for (const conversation of again) {
    expect(await conversation.exited).not.toBe(0);
    expect(conversation.err()).toContain("does not answer");
  }
  expect(callers()).toEqual(before);
}, 300_000);

test("a container that uses it is stopped and removed", () => {
  daemon.docker("stop", "-t", "1", "uses-it");
  daemon.docker("rm", "-f", "uses-it", "needs-bind", "needs-device", "needs-volume");
  expect(daemon.docker("ps", "-aq").split("\n").filter(Boolean)).toEqual([]);
});

test("it does not hold the end of the daemon, and nothing is left when it has gone", async () => {
  const stuck = callers();
  expect(stuck.length).toBeGreaterThan(0);
  // The server still has their requests.
  await daemon.stop();
  expect(readdirSync("/proc")).toEqual(expect.arrayContaining(stuck));
  await endServer();
  await until("the calls have ended", () => stuck.every((pid) => !readdirSync("/proc").includes(pid)));
  expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(`${daemon.dataRoot}/volumes`);
  await daemon.start();
  daemon.docker("volume", "rm", "far");
});
