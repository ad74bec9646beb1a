/**
 * An upgrade: containers that an earlier Fathom made, with its supervisors, and this Fathom's daemon. Supervisors run longer than daemons, so
 * every daemon meets supervisors of every earlier version.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { commitWithoutHello, buildOldFathom } from "./old-fathom.ts";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("skew");
  await daemon.startProgram(buildOldFathom(commitWithoutHello));
  daemon.loadImage();
}, 240_000);

afterAll(() => daemon?.close(), 60_000);

test("ps, logs, exec, attach, pause, stop, kill and rm work with supervisors that do not know hello", async () => {
  const run = (name: string, ...command: string[]): string => daemon.docker("run", "-d", "--name", name, ...command);
  run(
    "web",
    "-p",
    "127.0.0.1:18082:80",
    daemon.image,
    "sh",
    "-c",
    "echo served >/index.html; echo up; exec httpd -f -h /",
  );
  run(
    "talks",
    "-i",
    daemon.image,
    "sh",
    "-c",
    "echo began; while read line; do echo got $line; [ $line != quit ] || exit 4; done",
  );
  run("traps", daemon.image, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done");
  run("stays", daemon.image, "sleep", "1000");
  run("ends", daemon.image, "sh", "-c", "echo last words; sleep 1; exit 7");
  run("frozen", daemon.image, "sleep", "1000");
  daemon.docker("pause", "frozen");
  const pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "web");
  await until("the trap is set", () => daemon.docker("logs", "traps") === "ready");
  // The old daemon is killed, as in a quick upgrade.
  await daemon.kill();
  await daemon.start();

  expect(daemon.docker("ps", "--format", "{{.Names}}").split("\n").toSorted()).toEqual(
    expect.arrayContaining(["frozen", "stays", "talks", "traps", "web"]),
  );
  expect(daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.Pid}}{{.State.Error}}", "web")).toBe(
    `running ${pid}`,
  );
  expect(daemon.docker("wait", "ends")).toBe("7");
  expect(daemon.docker("logs", "ends")).toBe("last words");
  expect(daemon.docker("logs", "web")).toBe("up");
  expect(daemon.run("curl", "-s", "-m", "5", "http://127.0.0.1:18082/").out.trim()).toBe("served");
  expect(daemon.docker("exec", "web", "cat", "/index.html")).toBe("served");
  expect(daemon.run("docker", "exec", "web", "sh", "-c", "exit 9").code).toBe(9);

  const attached = daemon.talk(["docker", "attach", "talks"]);
  await until("the attached client's input arrives", () => {
    attached.write("hello\n");
    return attached.out().includes("got hello");
  });
  attached.write("quit\n");
  expect(await attached.exited).toBe(4);
  expect(daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "talks")).toBe("4");

  daemon.docker("stop", "-t", "10", "traps");
  expect(daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "traps")).toBe("5");
  daemon.docker("unpause", "frozen");
  daemon.docker("kill", "frozen");
  expect(daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "frozen")).toBe("exited 137");
  daemon.docker("restart", "-t", "0", "stays");
  expect(daemon.docker("exec", "stays", "echo", "again")).toBe("again");
  daemon.docker("rm", "-f", "stays", "web");
  daemon.docker("rm", "talks", "traps", "frozen", "ends");
  expect(daemon.docker("ps", "-aq")).toBe("");
}, 120_000);
