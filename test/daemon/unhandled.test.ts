/** A bug of the daemon itself: an error that no code handles ends the daemon. The log has the stack, and no container ends. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";
import { isAlive } from "@fathom/base/testing";

const daemon = new TestDaemon("unhandled", { environment: { FATHOM_FAIL_ON_SIGUSR2: "1" } });

beforeAll(async () => {
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close());

test("the log has the stack, the daemon ends in an orderly way, and the next daemon manages the containers again", async () => {
  daemon.docker("run", "-d", "--name", "kept", daemon.image, "sh", "-c", "while sleep 0.1; do echo on; done");
  const container = daemon.docker("inspect", "-f", "{{.State.Pid}}", "kept");
  const { pid } = daemon;
  process.kill(pid, "SIGUSR2");
  await until("the daemon has ended", () => !isAlive(pid));
  const log = readFileSync(join(daemon.work, "log"), "utf8");
  expect(log).toContain("an error was not handled: this is a bug, and the daemon ends; containers run on");
  expect(log).toContain("Error: SIGUSR2 asked for an error that nobody handles");
  expect(log).toMatch(/\\n\s+at /);
  // In an orderly way means: its own files are removed.
  expect(existsSync(join(daemon.work, "pid"))).toBe(false);
  expect(existsSync(daemon.socket)).toBe(false);
  expect(existsSync(`/proc/${container}`)).toBe(true);
  await daemon.start();
  expect(daemon.docker("inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "kept")).toBe(`${container} running`);
  expect(daemon.docker("exec", "kept", "echo", "well")).toBe("well");
}, 60_000);
