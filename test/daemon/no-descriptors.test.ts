/** A daemon whose clients use up its descriptors says so, does not compute uselessly, and continues when the clients have gone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";

const daemon = new TestDaemon("descriptors");
const log = (): string => readFileSync(join(daemon.work, "log"), "utf8");

beforeAll(() => daemon.start(), 60_000);
afterAll(() => daemon.close());

/** Hundredths of a second. */
function cpuTicks(): number {
  const stat = readFileSync(`/proc/${daemon.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

test("the daemon does not try to accept connections while it has no descriptors, and works normally afterwards", async () => {
  const { pid } = daemon;
  const limit = readdirSync(`/proc/${pid}/fd`).length + 40;
  expect(Bun.spawnSync(["prlimit", "--pid", String(pid), `--nofile=${limit}:${limit}`]).exitCode).toBe(0);
  const said: string[] = [];
  const clients: Socket[] = [];
  for (let index = 0; index < 100; index++) {
    const client = connect(daemon.socket);
    client.on("data", (data: Buffer) => void said.push(data.toString("latin1")));
    client.on("error", () => undefined);
    client.write("GET /v1.47/events HTTP/1.1\r\nHost: d\r\n\r\n");
    clients.push(client);
  }
  await until("the daemon reports that it has no free descriptors", () => log().includes("no free descriptors"));
  await until("clients get the error", () => said.some((text) => text.startsWith("HTTP/1.1 503 ")));
  const before = cpuTicks();
  // sleep: the daemon must not compute during this time; a loop that tries to accept would compute for at least half of it
  await Bun.sleep(3000);
  expect(cpuTicks() - before).toBeLessThan(100);
  for (const client of clients) client.destroy();
  await until("there are free descriptors", () => log().includes("has free descriptors again"));
  expect(await (await daemon.request("GET", "/_ping")).text()).toBe("OK");
}, 60_000);
