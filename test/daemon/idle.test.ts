/** A daemon that has nothing to do sleeps, also with connected clients, and the kernel can take back the memory of its program. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { binary, TestDaemon } from "./harness.ts";

const daemon = new TestDaemon("idle");
beforeAll(() => daemon.start(), 60_000);
afterAll(() => daemon.close());

/** How often the daemon's main thread went to sleep. */
function sleeps(): number {
  const status = readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/status`, "utf8");
  return Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)![1]);
}

test("with a connected client it wakes up at most about twice a second", async () => {
  const client = connect(daemon.socket);
  await once(client, "connect");
  client.write("GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
  await once(client, "data");
  const windowMs = 10_000;
  // The runtime has timers of its own: with an open connection one each second, and one every four seconds.
  const most = 17;
  const counts: number[] = [];
  for (let window = 0; window < 3 && !(counts.at(-1)! <= most); window++) {
    const before = sleeps();
    // sleep: the time during which wake-ups are counted
    await Bun.sleep(windowMs);
    counts.push(sleeps() - before);
  }
  expect(Math.min(...counts)).toBeLessThanOrEqual(most);
  client.destroy();
}, 90_000);

test("the daemon's JavaScript is mapped read-only", () => {
  const mappings = readFileSync(`/proc/${daemon.pid}/maps`, "latin1")
    .split("\n")
    .filter((line) => line.endsWith(` ${binary}`))
    .map((line) => {
      const [range = "", permissions = "", offset = ""] = line.split(" ");
      const [start, end] = range.split("-").map((address) => Number.parseInt(address, 16));
      return { permissions, offset: Number.parseInt(offset, 16), bytes: end! - start! };
    });
  // The program is the last part of the file, except for the tables of sections.
  const last = mappings.toSorted((a, b) => a.offset - b.offset).at(-1)!;
  expect(statSync(binary).size - last.offset - last.bytes).toBeLessThan(1_000_000);
  expect(last.bytes).toBeGreaterThan(5_000_000);
  expect(last.permissions).toBe("r--p");
});

test("the daemon collects garbage after work, not at fixed times", () => {
  const environment = readFileSync(`/proc/${daemon.pid}/environ`, "latin1").split("\0");
  expect(environment).toContain("BUN_GC_TIMER_INTERVAL=2000000000");
});
