/** testcontainers, run by Bun. Each job is a function of testcontainers.mjs. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { TestDaemon } from "../daemon/harness.ts";
import { client, importPostgres, postgresImage, startDaemon } from "./client.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startDaemon("testcontainers");
  importPostgres(daemon);
}, 60_000);
afterAll(() => daemon.close(), 60_000);

test.each(["waits", "files", "network", "postgres"])("%s", async (job) => {
  await client(
    daemon,
    [process.execPath, join(import.meta.dir, "testcontainers.mjs"), job, daemon.image, postgresImage],
    // It leaves a lock file in the folder for temporary files.
    { TESTCONTAINERS_RYUK_DISABLED: "true", TMPDIR: daemon.work },
  );
  // It stops what it started.
  expect(daemon.docker("ps", "-aq")).toBe("");
});
