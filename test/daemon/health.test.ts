/** Health checks of real containers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("health");
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

test("a check that exceeds its timeout is killed, and its output is kept, although a process that it began keeps running", async () => {
  const check = "echo probing; sleep 1000 & wait";
  const health = ["--health-cmd", check, "--health-interval", "200ms", "--health-timeout", "1500ms"];
  daemon.docker("run", "-d", "--name", "slow", ...health, daemon.image, "sleep", "1000");
  const first = (): string =>
    daemon
      .docker("inspect", "-f", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}|{{end}}", "slow")
      .split("|")[0]!;
  await until("the first check has ended", () => first() !== "");
  expect(first()).toBe("-1 Health check exceeded timeout (1.5s): probing\n");
}, 60_000);
