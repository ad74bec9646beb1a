/** dockerode, run by Node. Each job is a function of dockerode.mjs. */
import { afterAll, beforeAll, test } from "bun:test";
import { join } from "node:path";
import type { TestDaemon } from "../daemon/harness.ts";
import { client, startDaemon } from "./client.ts";

let daemon: TestDaemon;
let registry: string;
beforeAll(async () => {
  daemon = await startDaemon("dockerode");
  registry = await daemon.startRegistry();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

test.each(["run", "attach", "terminal", "exec", "logs", "pull", "networks", "events", "stats"])("%s", async (job) => {
  await client(daemon, ["node", join(import.meta.dir, "dockerode.mjs"), job, daemon.image, `${registry}/dockerode`]);
});
