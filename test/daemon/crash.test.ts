/**
 * kill -9 of the daemon: containers and published ports continue, and the next daemon knows the true state. With the compiled program and its
 * own CLI.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon, until } from "./harness.ts";
import { isAlive, parentOf } from "@fathom/base/testing";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("crash");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

test("containers, ports, logs and exits survive the daemon", async () => {
  daemon.fathom(
    "run",
    "-d",
    "--name",
    "web",
    "-p",
    "127.0.0.1:18081:80",
    daemon.image,
    "sh",
    "-c",
    "echo up; echo served > /index.html; exec httpd -f -p 80 -h /",
  );
  daemon.fathom("run", "-d", "--name", "ends", daemon.image, "sh", "-c", "sleep 1; echo last words; exit 7");
  const get = (): string => daemon.run("curl", "-s", "-m", "2", "http://127.0.0.1:18081/").out.trim();
  await until("the port answers", () => get() === "served");
  const pid = daemon.fathom("inspect", "-f", "{{.State.Pid}}", "web");

  await daemon.kill();
  expect(get()).toBe("served");
  // sleep: longer than every timeout that could end something without a daemon
  await Bun.sleep(1500);
  expect(get()).toBe("served");

  await daemon.start();
  expect(get()).toBe("served");
  expect(daemon.fathom("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "web")).toBe(`running ${pid}`);
  expect(daemon.fathom("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ends")).toBe("exited 7");
  expect(daemon.fathom("wait", "ends")).toBe("7");
  expect(daemon.fathom("logs", "ends")).toBe("last words");
  expect(daemon.fathom("logs", "web")).toBe("up");
  expect(daemon.fathom("exec", "web", "cat", "/index.html")).toBe("served");
  expect(daemon.fathom("ps", "--format", "{{.Names}}")).toBe("web");
  daemon.fathom("stop", "-t", "1", "web");
  expect(daemon.fathom("inspect", "-f", "{{.State.Status}}", "web")).toBe("exited");
  expect(get()).toBe("");
  daemon.fathom("rm", "web", "ends");
}, 60_000);

test("kill -9 of the supervisor: the container is reported dead with a reason, and nothing of it is left", async () => {
  daemon.fathom("run", "-d", "--name", "orphan", daemon.image, "sleep", "1000");
  const pid = Number(daemon.fathom("inspect", "-f", "{{.State.Pid}}", "orphan"));
  process.kill(parentOf(pid), "SIGKILL");
  await until("it is not running", () => daemon.fathom("inspect", "-f", "{{.State.Running}}", "orphan") === "false");
  expect(daemon.fathom("inspect", "-f", "{{.State.Error}}", "orphan")).toContain("supervisor");
  // Reaped, or dead and waiting for its new parent.
  await until("its process has ended", () => !isAlive(pid));
  daemon.fathom("rm", "orphan");
}, 60_000);

test("a restart policy continues after the daemon was killed", async () => {
  daemon.fathom(
    "run",
    "-d",
    "--name",
    "again",
    "--restart",
    "always",
    daemon.image,
    "sh",
    "-c",
    "echo began; sleep 1; exit 3",
  );
  daemon.fathom("run", "-d", "--name", "stopped", "--restart", "unless-stopped", daemon.image, "sleep", "1000");
  daemon.fathom("stop", "-t", "0", "stopped");
  await until("the container began its work", () => daemon.fathom("logs", "again").includes("began"));
  await daemon.kill();
  // sleep: the container ends meanwhile, and nobody starts it again
  await Bun.sleep(1500);
  const before = daemon.run("sh", "-c", `cat ${daemon.work}/data/containers/*/*-json.log | grep -c began`).out.trim();
  await daemon.start();
  const starts = (): number => daemon.fathom("logs", "again").split("\n").length;
  await until("it is started again", () => starts() > Number(before));
  expect(daemon.fathom("inspect", "-f", "{{.State.Running}}", "stopped")).toBe("false");
  daemon.fathom("rm", "-f", "again", "stopped");
}, 60_000);
