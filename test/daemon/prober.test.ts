/** A container with CAP_SYS_PTRACE examines execs, health checks and containers that join its pid namespace, as the docker CLI makes them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { TestDaemon } from "./harness.ts";

const daemon = new TestDaemon("prober");
const directory = join(import.meta.dir, "../prober");
const program = join(daemon.work, "prober");

beforeAll(async () => {
  await Bun.$`gcc -O2 -static -std=gnu11 ${join(directory, "prober.c")} -o ${program}`.quiet();
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

test("200 execs and twice 50 joined starts show nothing of the host", async () => {
  const talk = daemon.talk([join(directory, "docker.sh"), program, daemon.image]);
  talk.end();
  const code = await talk.exited;
  const said = talk.out() + talk.err();
  expect(said).not.toContain("hit:");
  expect(said.match(/newborn [1-9]\d* hits 0$/gm)).toHaveLength(3);
  expect(code).toBe(0);
}, 300_000);

test("300 detached execs run at a time", async () => {
  daemon.docker("run", "-d", "--name", "many", "--network", "none", daemon.image, "sleep", "1000");
  for (let count = 0; count < 300; count += 20)
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const { json } = await daemon.api<{ Id: string }>("POST", "/containers/many/exec", { Cmd: ["sleep", "1000"] });
        const { status } = await daemon.api("POST", `/exec/${json.Id}/start`, { Detach: true });
        expect(status).toBe(200);
      }),
    );
  daemon.docker("exec", "-d", "many", "sleep", "1000");
  expect(daemon.docker("top", "many").split("\n")).toHaveLength(1 + 1 + 301);
}, 120_000);
