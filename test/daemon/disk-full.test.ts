/** The daemon's disk is full: clear errors, a correct store, containers that continue, and commands that free space without needing space. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { MNT_DETACH, MS_REMOUNT, createSys } from "@fathom/sys";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";

const sys = createSys();
let daemon: TestDaemon;
let disk: string;
let big: string;

beforeAll(async () => {
  daemon = new TestDaemon("full", { dataRoot: "disk" });
  disk = daemon.dataRoot;
  mkdirSync(disk);
  sys.mount("tmpfs", disk, "tmpfs", 0, "size=256m,mode=710");
  await daemon.start();
  daemon.loadImage();
  // Two layers: one is stored when the other no longer fits.
  big = `${await daemon.startRegistry()}/big:1`;
  const layers = [
    { from: daemon.image, layer: "small", bytes: 1_000_000, to: "localhost/small:1" },
    { from: "localhost/small:1", layer: "large", bytes: 60_000_000, to: big },
  ];
  for (const { from, layer, bytes, to } of layers) {
    const script = `mkdir /${layer}; head -c ${bytes} /dev/urandom > /${layer}/file; sha256sum /${layer}/file > /${layer}/sum`;
    daemon.docker("run", "--name", "making", from, "sh", "-c", script);
    daemon.docker("commit", "making", to);
    daemon.docker("rm", "making");
  }
  daemon.docker("push", "-q", big);
  daemon.docker("save", "-o", join(daemon.work, "big.tar"), big);
  daemon.docker("rmi", big, "localhost/small:1");
  await settled();
}, 60_000);

afterAll(async () => {
  await daemon.close(() => sys.umount(disk, MNT_DETACH));
}, 60_000);

const free = (): number => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};

/** Gives the disk this much space beyond the space in use now. */
function leave(bytes: number): void {
  const { blocks, bfree, bsize } = statfsSync(disk);
  sys.mount("tmpfs", disk, "tmpfs", MS_REMOUNT, `size=${(blocks - bfree) * bsize + bytes}`);
}

/** Uses up the very last byte; returns a function that makes the room again. */
function fill(): () => void {
  const path = join(disk, "filler");
  const fd = openSync(path, "a");
  for (const size of [1 << 16, 1]) {
    const bytes = new Uint8Array(size);
    try {
      for (;;) if (writeSync(fd, bytes) < size) break;
    } catch {
      // Fills the disk in pieces of this size.
    }
  }
  closeSync(fd);
  expect(free()).toBe(0);
  return () => rmSync(path);
}

/** Space is freed in the background. */
async function settled(): Promise<void> {
  await until("the trash is empty", () => readdirSync(join(disk, "overlay2/trash")).length === 0);
}

const list = (path: string): string[] => {
  try {
    return readdirSync(join(disk, path));
  } catch {
    return [];
  }
};

async function expectSound(): Promise<void> {
  await settled();
  expect(daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}")).toBe(daemon.image);
  expect(list("content/tmp")).toEqual([]);
  expect(list("tmp")).toEqual([]);
  // The one layer of the one image, and the directories of the store itself.
  expect(list("overlay2").length).toBe(3);
  // Manifest, config, layer.
  expect(list("content/sha256").length).toBe(3);
}

beforeEach(() => leave(200 << 20));

test("pull", async () => {
  leave(40 << 20);
  const { code, err } = daemon.run("docker", "pull", big);
  expect(code).toBe(1);
  expect(err).toContain("no space left on device");
  await expectSound();
  leave(8 << 20);
  expect(daemon.docker("run", "--rm", daemon.image, "echo", "fine")).toBe("fine");
  leave(200 << 20);
  daemon.docker("pull", "-q", big);
  expect(daemon.docker("run", "--rm", big, "sh", "-c", "sha256sum -c /*/sum")).toBe("/large/file: OK\n/small/file: OK");
  daemon.docker("rmi", big);
  await expectSound();
}, 60_000);

test("load", async () => {
  // First there is no room for the archive; then there is room for the archive but not for its layers.
  for (const room of [20 << 20, 90 << 20]) {
    leave(room);
    const { code, err } = daemon.run("docker", "load", "-i", join(daemon.work, "big.tar"));
    expect(code).toBe(1);
    expect(err).toContain("no space left on device");
    await expectSound();
  }
  leave(8 << 20);
  expect(daemon.docker("run", "--rm", daemon.image, "echo", "fine")).toBe("fine");
  leave(230 << 20);
  daemon.docker("load", "-q", "-i", join(daemon.work, "big.tar"));
  expect(daemon.docker("run", "--rm", big, "sh", "-c", "sha256sum -c /*/sum")).toBe("/large/file: OK\n/small/file: OK");
  daemon.docker("rmi", big);
  await expectSound();
}, 60_000);

test("the first content of a volume", async () => {
  const script = "mkdir /v; head -c 30000000 /dev/urandom > /v/file; sha256sum /v/file > /sum";
  daemon.docker("run", "--name", "making", daemon.image, "sh", "-c", script);
  daemon.docker("commit", "--change", "VOLUME /v", "making", "localhost/content:1");
  daemon.docker("rm", "making");
  await settled();
  leave(8 << 20);
  const volume = ["-v", "content:/v", "localhost/content:1"];
  const { code, err } = daemon.run("docker", "create", ...volume);
  expect([code, err]).toEqual([1, expect.stringContaining("no space left on device")]);
  expect(daemon.docker("ps", "-aq")).toBe("");
  // The volume is still empty: the next container that uses it gets the whole content.
  expect(list("volumes/content").sort()).toEqual(["_data", "opts.json"]);
  expect(list("volumes/content/_data")).toEqual([]);
  leave(100 << 20);
  expect(daemon.docker("run", "--rm", ...volume, "sha256sum", "-c", "/sum")).toBe("/v/file: OK");
  daemon.docker("volume", "rm", "content");
  daemon.docker("rmi", "localhost/content:1");
  await expectSound();
}, 60_000);

test("a volume", async () => {
  const options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "--label", "a=b"];
  daemon.docker("volume", "create", "before");
  leave(1 << 20);
  const empty = fill();
  for (const create of [
    ["volume", "create", ...options, "late"],
    ["create", "-v", "late:/v", daemon.image],
    ["create", "-v", "/v", daemon.image],
  ]) {
    const { code, err } = daemon.run("docker", ...create);
    expect([code, err]).toEqual([1, expect.stringContaining("no space left on device")]);
  }
  expect(list("volumes").filter((name) => name !== ".removing")).toEqual(["before"]);
  expect(daemon.docker("volume", "ls", "-q")).toBe("before");
  expect(daemon.docker("ps", "-aq")).toBe("");
  // Removal needs no space, and after it making a volume works again.
  daemon.docker("volume", "rm", "before");
  empty();
  leave(50 << 20);
  daemon.docker("volume", "create", ...options, "late");
  expect(list("volumes/late").sort()).toEqual(["_data", "opts.json"]);
  expect(daemon.docker("volume", "inspect", "-f", "{{.Labels.a}} {{.Options.type}}", "late")).toBe("b tmpfs");
  daemon.docker("volume", "rm", "late");
  await expectSound();
}, 60_000);

test("logs, and what a user does then", async () => {
  leave(10 << 20);
  const line = "x".repeat(1000);
  const script = `
    yes ${line} | head -n 20000; mkfifo /dev/shm/go; read -r a < /dev/shm/go; echo again; exit 7`;
  daemon.docker(
    "run",
    "-d",
    "--name",
    "other",
    daemon.image,
    "sh",
    "-c",
    "trap 'exit 5' TERM; while :; do sleep 0.1; done",
  );
  daemon.docker("run", "-d", "--name", "ends", "--stop-signal", "KILL", daemon.image, "sleep", "1000");
  // Without a limit, as it would fill the disk.
  daemon.docker("run", "-d", "--name", "writes", "--log-opt", "max-size=-1", daemon.image, "sh", "-c", script);
  const ready = ["exec", "writes", "test", "-p", "/dev/shm/go"];
  await until("it has written all", () => daemon.run("docker", ...ready).code === 0);
  const empty = fill();
  const state = (name: string): string => daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name);
  expect(state("writes")).toBe("running 0");
  /** Records of the log; all of them must be whole, also the last one. */
  const records = (): string[] =>
    readFileSync(daemon.docker("inspect", "-f", "{{.LogPath}}", "writes"), "utf8")
      .trimEnd()
      .split("\n")
      .map((text) => (JSON.parse(text) as { log: string }).log.trimEnd());
  const written = records().filter((text) => text === line).length;
  expect(written).toBeGreaterThan(5000);
  expect(written).toBeLessThan(20_000);
  expect(daemon.docker("logs", "writes").split("\n").length).toBe(written);

  // A start says why it fails. A running container can be stopped, and its code is the true one.
  const { code, err } = daemon.run("docker", "run", "--name", "fails", daemon.image, "true");
  expect([code, err]).toEqual([125, expect.stringContaining("no space left on device")]);
  daemon.docker("stop", "other");
  expect(state("other")).toBe("exited 5");

  // The daemon dies, and starts again on the full disk.
  await daemon.kill();
  await daemon.start();
  expect(state("writes")).toBe("running 0");
  expect(state("other")).toBe("exited 5");
  daemon.docker("exec", "writes", "sh", "-c", "echo > /dev/shm/go");
  expect(daemon.docker("wait", "writes")).toBe("7");
  expect(state("writes")).toBe("exited 7");
  expect(records().filter((text) => text === line).length).toBe(written);
  await daemon.stop();
  fill();
  await daemon.start();
  expect(state("ends")).toBe("exited 137");

  // Removing needs no space, and frees some.
  daemon.docker("rm", "other", "ends", "writes");
  daemon.run("docker", "rm", "-f", "fails");
  empty();
  await expectSound();
  expect(daemon.docker("run", "--rm", daemon.image, "echo", "fine")).toBe("fine");
}, 60_000);
