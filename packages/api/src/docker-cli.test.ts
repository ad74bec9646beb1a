/** The real docker CLI with the fake backend. Skipped when there is no docker program. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { countUpload } from "./testing/count-upload.ts";
import { startTestServer, type TestServer } from "./testing/test-server.ts";

const docker = Bun.which("docker");

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(words: readonly string[], input?: string): Promise<Outcome> {
  const child = Bun.spawn([docker ?? "docker", ...words], {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", DOCKER_HOST: `unix://${server.path}` },
    stdin: input === undefined ? "ignore" : Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
    timeout: 10_000,
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

describe.skipIf(docker === null)("docker", () => {
  test("run prints what the container prints", async () => {
    expect(await run(["run", "--rm", "x", "echo", "hi"])).toEqual({ code: 0, out: "hi\n", err: "" });
  });

  test("run returns the exit code, and keeps the streams apart", async () => {
    expect(await run(["run", "--name", "two", "x", "complain", "why"])).toEqual({
      code: 3,
      out: "out\n",
      err: "why\n",
    });
    expect(await run(["logs", "two"])).toEqual({ code: 0, out: "out\n", err: "why\n" });
    expect((await run(["rm", "two"])).out).toBe("two\n");
  });

  test("run -i: input, its end, and output", async () => {
    const input = "line\n".repeat(50_000);
    expect(await run(["run", "-i", "--rm", "x", "cat"], input)).toEqual({ code: 0, out: input, err: "" });
  });

  test("large output arrives complete", async () => {
    const { code, out } = await run(["run", "--rm", "x", "flood", "160"]);
    expect([code, out.length]).toEqual([0, 160 * 64 * 1024]);
  });

  test("run -d, ps, exec, stop", async () => {
    expect((await run(["run", "-d", "--name", "box", "x", "sleep", "1000"])).code).toBe(0);
    expect((await run(["ps", "--format", "{{.Names}}"])).out).toContain("box\n");
    expect(await run(["exec", "box", "echo", "in"])).toEqual({ code: 0, out: "in\n", err: "" });
    expect((await run(["exec", "box", "false"])).code).toBe(1);
    expect(await run(["exec", "-i", "box", "cat"], "typed\n")).toEqual({ code: 0, out: "typed\n", err: "" });
    expect((await run(["stop", "box"])).out).toBe("box\n");
    expect((await run(["rm", "box"])).code).toBe(0);
  });

  test("errors reach the user", async () => {
    // A CLI before 23 (Debian 12 has 20.10) prints only "Error: ".
    expect(await run(["rm", "nosuch"])).toEqual({
      code: 1,
      out: "",
      err: expect.stringMatching(/^Error(?: response from daemon)?: No such container: nosuch\n$/),
    });
    expect((await run(["pull", "-q", "nosuch"])).err).toContain("manifest unknown");
    expect((await run(["pull", "broken"])).err).toBe("layer does not verify\n");
    expect((await run(["swarm", "init"])).err).toContain("not implemented yet by Fathom");
    expect((await run(["node", "ls"])).err).toContain("This node is not a swarm manager");
  });

  test("load sends the archive", async () => {
    server.fake.images.load = countUpload();
    const { code, out } = await run(["load"], "x".repeat(3_000_000));
    expect([code, out]).toEqual([0, "Loaded image: 3000000 bytes\n"]);
  });

  test("save gives the archive", async () => {
    server.fake.images.save = async function* () {
      yield Buffer.alloc(1 << 20, "s");
    };
    expect((await run(["save", "x"])).out.length).toBe(1 << 20);
  });

  test("wait and version", async () => {
    await run(["run", "-d", "--name", "w", "x", "sleep", "1"]);
    const waiting = run(["wait", "w"]);
    // sleep: mostly the CLI's request has arrived by then; if it comes later, its answer is the same
    await Bun.sleep(100);
    server.fake.containers.find("w").process?.end(5);
    expect((await waiting).out).toBe("5\n");
    expect((await run(["version", "--format", "{{.Server.Version}} {{.Client.APIVersion}}"])).out).toStartWith(
      "0.0.0-fake 1.",
    );
  });
});
