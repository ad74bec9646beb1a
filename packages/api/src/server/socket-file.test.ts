import { silentLogger } from "@fathom/base";
import { createSys, O_CLOEXEC, O_DIRECTORY, O_PATH } from "@fathom/sys";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiServer } from "../contract.ts";
import { createApiServer } from "./server.ts";
import { groupId } from "./socket-file.ts";
import { FakeBackend } from "../testing/fake/fake-backend.ts";

let directory: string;
let servers: ApiServer[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "fathom-socket-"));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await server.close(100);
  await rm(directory, { recursive: true, force: true });
});

function server(): ApiServer {
  const created = createApiServer({ backend: new FakeBackend().backend, logger: silentLogger, version: "0" });
  servers.push(created);
  return created;
}

test("mode 0660, in a folder that is made when missing", async () => {
  const path = join(directory, "run", "api.sock");
  await server().listen({ path, group: process.getgid?.() ?? 0 });
  const { mode, gid } = await stat(path);
  expect(mode & 0o777).toBe(0o660);
  expect(gid).toBe(process.getgid?.() ?? 0);
});

test("a path where a daemon answers is left alone, a stale socket is replaced", async () => {
  const path = join(directory, "api.sock");
  const first = server();
  await first.listen({ path });
  await expect(server().listen({ path })).rejects.toThrow("another daemon answers there");
  await first.close(100);
  // What a crash leaves: a socket on which nobody listens.
  const child = Bun.spawnSync([
    process.execPath,
    "-e",
    `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
  ]);
  expect(child.signalCode).toBe("SIGKILL");
  expect((await stat(path)).isSocket()).toBe(true);
  await server().listen({ path });
});

test("a file that is no socket is never removed", async () => {
  const path = join(directory, "precious");
  await writeFile(path, "x");
  await expect(server().listen({ path })).rejects.toThrow("a file that is no socket is there");
  expect(await Bun.file(path).text()).toBe("x");
});

test("a path that is too long is an error that says this", async () => {
  await expect(server().listen({ path: `/tmp/${"x".repeat(110)}` })).rejects.toThrow("too long");
});

test("groups by name and number", async () => {
  expect(await groupId("root")).toBe(0);
  expect(await groupId("12")).toBe(12);
  expect(await groupId("no-such-group-here")).toBeUndefined();
});

test("a daemon that listens but does not accept at the moment is left alone", async () => {
  const path = join(directory, "busy.sock");
  const sys = createSys();
  const place = sys.open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  // Its queue holds one connection, and is full.
  const listening = sys.listenUnix(place, "busy.sock", 0o600, 0);
  const waiting = sys.connectUnix(place, "busy.sock");
  try {
    const claimed = createApiServer({ backend: new FakeBackend().backend, logger: silentLogger, version: "0", sys });
    servers.push(claimed);
    await expect(claimed.listen({ path })).rejects.toThrow("another daemon answers there");
    expect((await stat(path)).isSocket()).toBe(true);
  } finally {
    for (const fd of [waiting, listening, place]) sys.close(fd);
  }
});
