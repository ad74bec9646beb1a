/** docker for Python: the newest, and Debian's, which docker-compose uses. Each job is a function of docker_py.py. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { join } from "node:path";
import type { TestDaemon } from "../daemon/harness.ts";
import { client, startDaemon, tools } from "./client.ts";

let daemon: TestDaemon;
let registry: string;
beforeAll(async () => {
  daemon = await startDaemon("docker-py");
  registry = await daemon.startRegistry();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

const jobs = "run logs exec attach archive stats events images build volumes networks names prune system".split(" ");
// Not python3 of the path: Debian's packages belong to this one.
describe.each([
  ["the newest", join(tools, "python/bin/python")],
  ["Debian's", "/usr/bin/python3"],
])("%s", (_, python) => {
  const script = join(import.meta.dir, "docker_py.py");
  test.each(jobs)("%s", async (job) => void (await client(daemon, [python, script, job, daemon.image])));
  test("registry", async () => {
    await client(daemon, [python, script, "registry", `${registry}/python`, daemon.image]);
  });
});
