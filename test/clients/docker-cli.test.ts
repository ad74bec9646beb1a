/**
 * The docker CLIs that a machine may have, with the same job: the one of the path with the newest API that both know, the same one with API
 * 1.41, and Debian's, which knows no newer one than its own.
 *
 * Their own ways: the CLI asks for the engine's version with HEAD /_ping before its first request, unless DOCKER_API_VERSION is set. `run`
 * attaches before it starts, waits with `condition=next-exit` or `removed` before it starts, and the wait's head must come at once.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { until, type Result, type TestDaemon } from "../daemon/harness.ts";
import { startDaemon, tools } from "./client.ts";

let daemon: TestDaemon;
let registry: string;
beforeAll(async () => {
  daemon = await startDaemon("docker-cli");
  registry = await daemon.startRegistry();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

describe.each([
  ["the newest", ["docker"], undefined],
  ["the newest with API 1.41", ["env", "DOCKER_API_VERSION=1.41", "docker"], "1.41"],
  ["Debian's", [join(tools, "debian-docker/docker")], undefined],
])("%s", (_, program, version) => {
  const run = (...args: readonly string[]): Result => daemon.run(...program, ...args);
  const docker = (...args: readonly string[]): string => {
    const { code, out, err } = run(...args);
    if (code !== 0) throw new Error(`${args.join(" ")}: ${code}: ${err}`);
    return out.trim();
  };

  test("version and info", () => {
    const said = docker("version", "--format", "{{.Client.APIVersion}} {{.Server.Os}}");
    expect(said).toEndWith(" linux");
    if (version !== undefined) expect(said).toStartWith(version);
    expect(docker("info", "--format", "{{.Driver}}")).toBe("overlay2");
  });

  test("run: output, exit codes, input, a container that is removed", () => {
    expect(docker("run", "--rm", daemon.image, "echo", "hello")).toBe("hello");
    const failed = run("run", "--rm", daemon.image, "sh", "-c", "echo out; echo err >&2; exit 3");
    expect(failed).toEqual({ code: 3, out: "out\n", err: "err\n" });
    expect(run("run", "--rm", daemon.image, "no-such-program").code).toBe(127);
    const input = ["sh", "-c", `echo typed | "$@" run -i --rm ${daemon.image} cat`, "sh", ...program];
    expect(daemon.run(...input).out).toBe("typed\n");
    expect(docker("ps", "-aq")).toBe("");
  });

  test("a terminal: its size, and Ctrl-C", async () => {
    // Below API 1.42 the size comes after the start.
    const sized = 'until [ "$(stty size)" = "24 80" ]; do sleep 0.05; done; echo sized; cat';
    const command = ["run", "-it", "--init", "--rm", daemon.image, "sh", "-c", sized];
    const talk = daemon.talk([...program, ...command], { terminal: true });
    await until("the terminal has its size", () => talk.out().includes("sized"));
    talk.write("\x03");
    expect(await talk.exited).toBe(130);
  }, 60_000);

  test("a container's life", async () => {
    const life = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    docker("run", "-d", "--name", "life", "--label", "a=b", "-m", "64m", daemon.image, "sh", "-c", life);
    await until("it is ready", () => docker("logs", "life").includes("ready"));
    expect(docker("ps", "--filter", "label=a=b", "--format", "{{.Names}}")).toBe("life");
    expect(docker("exec", "life", "sh", "-c", "echo inside; exit 0")).toBe("inside");
    expect(run("exec", "life", "sh", "-c", "exit 9").code).toBe(9);
    expect(docker("top", "life")).toContain("trap");
    expect(docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", "life")).toMatch(/^life .*64MiB$/);
    docker("pause", "life");
    expect(docker("inspect", "-f", "{{.State.Status}}", "life")).toBe("paused");
    docker("unpause", "life");
    docker("rename", "life", "renamed");
    docker("update", "--restart", "on-failure", "renamed");
    docker("stop", "renamed");
    expect(docker("logs", "renamed")).toBe("ready\nbye");
    expect(docker("wait", "renamed")).toBe("0");
    docker("start", "renamed");
    docker("kill", "renamed");
    expect(docker("wait", "renamed")).toBe("137");
    docker("rm", "renamed");
    const events = docker(
      "events",
      "--since",
      "1m",
      "--until",
      // The CLI would send "0s" as a whole second.
      `${Date.now() / 1000}`,
      "--filter",
      "label=a=b",
      "--format",
      "{{.Action}}",
    );
    expect(events).toMatch(/create\n(.*\n)*start\n(.*\n)*die\n(.*\n)*destroy$/);
  }, 60_000);

  test("files, layers and volumes", () => {
    const file = join(daemon.work, "file");
    writeFileSync(file, "from the host\n");
    docker("volume", "create", "kept");
    docker(
      "create",
      "--name",
      "files",
      "-v",
      "kept:/kept",
      daemon.image,
      "sh",
      "-c",
      "cp /file /kept/ && cat /kept/file",
    );
    docker("cp", file, "files:/file");
    expect(docker("start", "-a", "files")).toBe("from the host");
    expect(docker("diff", "files")).toContain("A /file");
    docker("cp", "files:/kept/file", join(daemon.work, "back"));
    expect(docker("run", "--rm", "-v", "kept:/kept:ro", daemon.image, "cat", "/kept/file")).toBe("from the host");
    docker("commit", "-c", "CMD cat /file", "files", "localhost/committed:v1");
    docker("rm", "files");
    docker("volume", "rm", "kept");
    docker("save", "-o", join(daemon.work, "saved.tar"), "localhost/committed:v1");
    docker("rmi", "localhost/committed:v1");
    expect(docker("load", "-i", join(daemon.work, "saved.tar"))).toBe("Loaded image: localhost/committed:v1");
    expect(docker("run", "--rm", "localhost/committed:v1")).toBe("from the host");
    docker("tag", "localhost/committed:v1", `${registry}/committed:v1`);
    docker("push", `${registry}/committed:v1`);
    docker("rmi", "localhost/committed:v1", `${registry}/committed:v1`);
    expect(docker("run", "--rm", `${registry}/committed:v1`)).toBe("from the host");
    docker("rmi", `${registry}/committed:v1`);
  }, 60_000);

  test("networks and ports", async () => {
    docker("network", "create", "--subnet", "10.80.0.0/24", "--label", "a=b", "net");
    const serve = "mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www";
    docker(
      "run",
      "-d",
      "--init",
      "--name",
      "web",
      "--network",
      "net",
      "--network-alias",
      "www",
      "-p",
      "127.0.0.1:8088:80",
      daemon.image,
      "sh",
      "-c",
      serve,
    );
    expect(docker("port", "web")).toBe("80/tcp -> 127.0.0.1:8088");
    await until("it answers on the host", () => daemon.run("curl", "-sf", "http://127.0.0.1:8088/").out === "page\n");
    expect(docker("run", "--rm", "--network", "net", daemon.image, "wget", "-qO-", "http://www/")).toBe("page");
    docker("network", "disconnect", "net", "web");
    docker("network", "connect", "--ip", "10.80.0.9", "net", "web");
    expect(docker("run", "--rm", "--network", "net", daemon.image, "wget", "-qO-", "http://10.80.0.9/")).toBe("page");
    expect(docker("network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "net")).toBe("web");
    expect(run("network", "rm", "net").err).toContain("has active endpoints");
    docker("rm", "-f", "web");
    expect(docker("network", "prune", "-f", "--filter", "label=a=b")).toBe("Deleted Networks:\nnet");
  }, 60_000);
});
