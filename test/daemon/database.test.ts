import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
  closeSync,
} from "node:fs";
import { join } from "node:path";
import { binary, TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("database");
  await daemon.start();
  daemon.loadImage();
});
afterEach(() => {
  daemon.removeContainers();
});
afterAll(() => daemon.close());

const files = ["fathom.db", "fathom.db-wal"];
const database = (name = "fathom.db"): string => join(daemon.dataRoot, name);
const exec = (name: string, ...command: string[]): string => daemon.docker("exec", name, ...command);

test("containers that are missing in an older backup of the database are listed, keep running, and can be used and removed", async () => {
  daemon.docker("run", "-d", "--name", "old", "--network", "none", daemon.image, "sleep", "1000");
  await daemon.kill();
  for (const name of files) copyFileSync(database(name), join(daemon.work, name));
  await daemon.start();
  daemon.docker("run", "-d", "--name", "new", "-e", "KEY=value", "-v", "data:/data", daemon.image, "sleep", "1000");
  exec("new", "sh", "-c", "echo kept >/written; echo kept >/data/written");
  const command = "[ -e /written ] && exit 4; echo kept >/written; exit 3";
  expect(daemon.run("docker", "run", "--name", "ended", daemon.image, "sh", "-c", command).code).toBe(3);
  // The backup's container is removed, and another container takes its name.
  daemon.docker("rm", "-f", "old");
  daemon.docker("run", "-d", "--name", "old", "--label", "which=second", daemon.image, "sleep", "1000");
  const pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "new");
  await daemon.kill();
  for (const name of files) copyFileSync(join(daemon.work, name), database(name));
  await daemon.start();

  expect(daemon.docker("ps", "-a", "--filter", "name=^new$", "--format", "{{.Names}} {{.State}}")).toBe("new running");
  expect(daemon.docker("inspect", "-f", "{{.State.Pid}} {{.Config.Env}}", "new")).toStartWith(`${pid} [KEY=value`);
  expect(exec("new", "cat", "/written", "/data/written")).toBe("kept\nkept");
  expect(daemon.docker("volume", "ls", "-q")).toContain("data");
  expect(daemon.docker("ps", "-q", "--filter", "label=which=second").split("\n")).toHaveLength(1);
  daemon.docker("stop", "-t", "0", "new");
  daemon.docker("start", "new");
  expect(exec("new", "cat", "/written")).toBe("kept");
  expect(daemon.run("docker", "start", "-a", "ended").code).toBe(4);
});

function damage(): void {
  const { size } = statSync(database());
  const file = openSync(database(), "r+");
  const noise = crypto.getRandomValues(new Uint8Array(4096));
  for (let at = 8192; at + 4096 <= size; at += 4096) writeSync(file, noise, 0, 4096, at);
  closeSync(file);
  rmSync(database("fathom.db-wal"), { force: true });
}

test("the daemon notices overwritten pages of the database at its start, and containers and volumes survive a new database", async () => {
  daemon.docker("run", "-d", "--name", "lives", daemon.image, "sleep", "1000");
  exec("lives", "sh", "-c", "echo kept >/written");
  const far = join(daemon.work, "far");
  mkdirSync(far);
  daemon.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", `device=${far}`, "far");
  daemon.docker("run", "-d", "--name", "uses", "-v", "far:/far", daemon.image, "sleep", "1000");
  exec("uses", "touch", "/far/written");
  daemon.docker("run", "--rm", "-v", "alone:/data", daemon.image, "touch", "/data/written");
  const policy = ["--restart", "unless-stopped", "-p", "127.0.0.1:8123:80", "-l", "kind=server"];
  const server = ["sh", "-c", "echo hello >/index.html; exec httpd -f"];
  daemon.docker("run", "-d", "--name", "serves", ...policy, daemon.image, ...server);
  expect(daemon.run("docker", "run", "--name", "failed", daemon.image, "sh", "-c", "exit 9").code).toBe(9);
  // In the file itself, not only in its log.
  await daemon.stop();
  await daemon.start();
  for (const name of ["lives", "serves"]) daemon.docker("start", name);
  const facts = (): string[] =>
    ["serves", "failed"].map((name) => {
      const [{ State, RestartCount, HostConfig, Config, NetworkSettings, Mounts }] = JSON.parse(
        daemon.docker("inspect", name),
      ) as [Record<string, unknown>];
      return JSON.stringify({ State, RestartCount, HostConfig, Config, NetworkSettings, Mounts });
    });
  const get = (): string => daemon.run("curl", "-s", "-m", "3", "http://127.0.0.1:8123/index.html").out;
  await until("the server answers", () => get() === "hello\n");
  const before = facts();
  const started = daemon.docker("inspect", "-f", "{{.State.StartedAt}}", "serves");
  const description = join(daemon.docker("inspect", "-f", "{{.HostsPath}}", "serves"), "../container.json");
  await until("it is described", () => readFileSync(description, "utf8").includes(started));
  await daemon.kill();
  damage();
  const place = ["-H", `unix://${daemon.socket}`, "--data-root", daemon.dataRoot];
  const flags = place.concat("--exec-root", join(daemon.work, "run"), "--pidfile", join(daemon.work, "pid"));
  const refused = daemon.run("timeout", "20", binary, "daemon", ...flags, "--cgroup-parent", daemon.cgroupParent);
  expect(refused.code).toBe(1);
  expect(refused.err).toContain(`the database ${database()} is damaged`);
  expect(refused.err).toContain("--rebuild-database");
  expect(existsSync(join(daemon.dataRoot, "overlay2"))).toBe(true);

  await daemon.start("--rebuild-database");
  expect(readdirSync(daemon.dataRoot).some((name) => name.startsWith("fathom.db.damaged-"))).toBe(true);
  expect(daemon.docker("ps", "--format", "{{.Names}} {{.State}}").split("\n").sort()).toEqual([
    "lives running",
    "serves running",
  ]);
  expect(facts()).toEqual(before);
  expect(get()).toBe("hello\n");
  expect(exec("lives", "cat", "/written")).toBe("kept");
  daemon.docker("stop", "-t", "0", "lives");
  daemon.docker("start", "lives");
  expect(exec("lives", "cat", "/written")).toBe("kept");
  // A volume without its options would be a different place on disk.
  daemon.docker("start", "uses");
  expect(exec("uses", "ls", "/far")).toBe("written");
  expect(daemon.docker("volume", "inspect", "-f", "{{.Options.device}}", "far")).toBe(far);
  daemon.loadImage();
  // Its address is not given to another container.
  const addresses = daemon.docker("run", "--rm", daemon.image, "ifconfig", "eth0");
  expect(addresses).toContain("inet addr:");
  expect(addresses).not.toContain(
    `addr:${daemon.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "serves")} `,
  );
  expect(daemon.docker("run", "--rm", "-v", "alone:/data", daemon.image, "ls", "/data")).toBe("written");
  expect(daemon.docker("volume", "ls", "-q").split("\n")).toContain("alone");
}, 60_000);
