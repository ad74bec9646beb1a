/** The daemon frees what runs, execs and failed starts used. The check itself also notices when something is not freed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { createSys } from "@fathom/sys";
import { TestDaemon } from "./harness.ts";
import { expectNoGrowth, holdings } from "./holdings.ts";

const sys = createSys();
let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("holdings");
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

test("the check sees a detached mount and a growing table", async () => {
  const open: number[] = [];
  const leak = (): void => void open.push(sys.openOverlay({ lower: [tmpdir(), import.meta.dir] }));
  try {
    const before = holdings(process.pid).detachedMounts.length;
    await expect(expectNoGrowth(process.pid, 4, leak)).rejects.toThrow("4 detached mounts more after 4 repetitions");
    expect(holdings(process.pid).detachedMounts.length).toBe(before + 5);
  } finally {
    for (const fd of open) sys.close(fd);
  }
}, 20_000);

test.each([
  ["run --rm", () => daemon.fathom("run", "--rm", "-p", "8620:80", daemon.image, "true")],
  ["a start that fails", () => daemon.cli("run", "--rm", daemon.image, "nosuchprogram")],
  ["a start that the network refuses", () => daemon.cli("run", "--rm", "-p", "192.0.2.1:80:80", daemon.image, "true")],
  ["a start with a bad pattern", () => daemon.cli("run", "--rm", "--log-opt", "env-regex=(", daemon.image, "true")],
  ["an exec", () => daemon.fathom("exec", "kept", "true")],
  ["an exec that fails", () => daemon.cli("exec", "kept", "nosuchprogram")],
  ["logs and inspect", () => daemon.fathom("logs", "kept") + daemon.fathom("inspect", "kept")],
])(
  "%s leaves nothing in the daemon",
  async (_, action) => {
    if (daemon.fathom("ps", "-q") === "") daemon.fathom("run", "-d", "--name", "kept", daemon.image, "sleep", "1000");
    await expectNoGrowth(daemon.pid, 12, () => void action());
  },
  60_000,
);
