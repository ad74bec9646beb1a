/** Special cases of run and of the daemon's life, with the compiled program and the docker CLI. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { binary, TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("edges");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

test("a mount over /etc, and the engine's files in it", () => {
  for (const mount of [
    ["-v", "vol:/etc"],
    ["--tmpfs", "/etc"],
  ]) {
    const shown = daemon.docker("run", "--rm", "--hostname", "me", ...mount, daemon.image, "sh", "-c", "cat /etc/ho*");
    expect(shown).toContain("127.0.0.1");
    expect(shown).toContain("me");
  }
  daemon.docker("volume", "rm", "vol");
});

test("errors of a client are reported, and nothing is pulled for them", () => {
  const wrong = (...flags: string[]): string => daemon.run("docker", "run", "--rm", ...flags, daemon.image, "true").err;
  expect(wrong("--volumes-from", "nope")).toStartWith("docker: Error response from daemon: No such container: nope");
  expect(wrong("--runtime", "nope")).toContain("unknown or invalid runtime name: nope");
  expect(wrong("--log-opt", "nosuch=1")).toContain("unknown log opt 'nosuch' for json-file log driver");
  const directory = join(daemon.work, "private");
  mkdirSync(directory);
  daemon.run("mount", "--bind", directory, directory);
  daemon.run("mount", "--make-private", directory);
  expect(wrong("-v", `${directory}:/m:rshared`)).toContain(
    `path ${directory} is mounted on ${directory} but it is not a shared mount`,
  );
  daemon.run("mount", "--make-shared", directory);
  expect(wrong("-v", `${directory}:/m:rshared`)).toBe("");
  daemon.run("umount", directory);
  expect(daemon.docker("ps", "-aq")).toBe("");
});

test("the root is an overlay", () => {
  expect(daemon.docker("run", "--rm", "--runtime", "runc", daemon.image, "df", "/")).toMatch(/^overlay /m);
});

test("a deleted bridge is made again for the next container", () => {
  daemon.docker("run", "-d", "--name", "one", daemon.image, "sleep", "1000");
  const address = daemon.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "one");
  daemon.run("ip", "link", "del", "fathom0");
  expect(daemon.docker("run", "--rm", daemon.image, "ping", "-c", "1", address)).toContain("1 packets received");
  daemon.docker("rm", "-f", "one");
});

test("a second daemon does not take the pid file of a live daemon", () => {
  const pid = readFileSync(join(daemon.work, "pid"), "utf8");
  const second = ["data", "exec"].flatMap((root) => [`--${root}-root`, join(daemon.work, `second-${root}`)]);
  const flags = ["-H", `unix://${daemon.work}/second`, "--bridge", "second0", "--pidfile", join(daemon.work, "pid")];
  const { code, err } = daemon.run(binary, "daemon", ...flags, ...second, "--cgroup-parent", daemon.cgroupParent);
  expect(code).toBe(1);
  expect(err).toContain(`process with PID ${pid.trim()} is still running`);
  expect(readFileSync(join(daemon.work, "pid"), "utf8")).toBe(pid);
});

test("a daemon stops while restart policies are active", async () => {
  for (let index = 0; index < 8; index++)
    daemon.fathom("run", "-d", "--restart", "always", daemon.image, "sh", "-c", "sleep 0.0$(($$ % 10)); exit 1");
  for (let turn = 0; turn < 3; turn++) {
    await Bun.sleep(200 + 70 * turn);
    await daemon.stop();
    expect(existsSync(join(daemon.work, "pid"))).toBe(false);
    await daemon.start();
  }
  const log = readFileSync(join(daemon.work, "log"), "utf8");
  expect(log).not.toContain("closed database");
  for (const id of daemon.fathom("ps", "-aq").split("\n")) daemon.fathom("rm", "-f", id);
  await until("all containers are removed", () => daemon.fathom("ps", "-aq") === "");
}, 60_000);

test("a container joins network, host name, processes and IPC of another", () => {
  daemon.docker(
    "run",
    "-d",
    "--name",
    "host",
    "--ipc",
    "shareable",
    "--hostname",
    "shown",
    daemon.image,
    "sleep",
    "1000",
  );
  const spaces = (name: string): string[] =>
    ["net", "uts", "pid", "ipc"].map((kind) =>
      readlinkSync(`/proc/${daemon.docker("inspect", "-f", "{{.State.Pid}}", name)}/ns/${kind}`),
    );
  const joins = ["--network", "container:host", "--pid", "container:host", "--ipc", "container:host"];
  daemon.docker("run", "-d", "--name", "guest", ...joins, daemon.image, "sleep", "1000");
  expect(spaces("guest")).toEqual(spaces("host"));
  expect(daemon.docker("exec", "guest", "hostname")).toBe("shown");
  // The daemon holds it only during the start.
  const open = readdirSync(`/proc/${daemon.pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${daemon.pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  expect(open.filter((target) => /^(uts|pid|ipc):/.test(target))).toEqual([]);
  daemon.docker("rm", "-f", "guest", "host");
});
