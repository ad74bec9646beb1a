/** A bug of the daemon's own: an error that nobody handles ends it, with the stack in its log, and no container with it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";

const daemon = new TestDaemon("unhandled", { environment: { FATHOM_FAIL_ON_SIGUSR2: "1" } });

beforeAll(async () => {
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close());

test("it is logged with its stack, the daemon ends in an orderly way, and the next one takes the containers up", async () => {
  daemon.docker("run", "-d", "--name", "kept", daemon.image, "sh", "-c", "while sleep 0.1; do echo on; done");
  const container = daemon.docker("inspect", "-f", "{{.State.Pid}}", "kept");
  const { pid } = daemon;
  process.kill(pid, "SIGUSR2");
  await until(
    "the daemon has ended",
    () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z "),
  );
  const log = readFileSync(join(daemon.work, "log"), "utf8");
  expect(log).toContain("an error was not handled: this is a bug, and the daemon ends; containers run on");
  expect(log).toContain("Error: SIGUSR2 asked for an error that nobody handles");
  expect(log).toMatch(/\\n\s+at /);
  // In an orderly way: its own files are gone.
  expect(existsSync(join(daemon.work, "pid"))).toBe(false);
  expect(existsSync(daemon.socket)).toBe(false);
  expect(existsSync(`/proc/${container}`)).toBe(true);
  await daemon.start();
  expect(daemon.docker("inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "kept")).toBe(`${container} running`);
  expect(daemon.docker("exec", "kept", "echo", "well")).toBe("well");
}, 60_000);
