/** Our own CLI against our daemon, both compiled: what has no scenario of Docker's to be compared with, and what once went wrong. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { binary, TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("cli");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

test("the built-in image runs without a network and shows the steps of its start", () => {
  const out = daemon.fathom("run", "--rm", "hello");
  expect(out).toContain("Hello from Fathom!");
  expect(out).toMatch(/\d+\.\d\d ms {2}lay 1 image layer/);
  expect(out).toMatch(/\d+\.\d\d ms {2}compile the launch plan: \d+ operations/);
  expect(daemon.fathom("images", "--format", "{{.Repository}}")).toContain("fathom/hello");
});

test("explain shows the plan and leaves nothing", () => {
  const before = daemon.fathom("volume", "ls", "-q");
  const out = daemon.fathom(
    "explain",
    "run",
    "-v",
    "asked:/data",
    "-v",
    "/anonymous",
    "-m",
    "64m",
    daemon.image,
    "echo",
    "hi",
  );
  expect(out).toContain("In new namespaces".toLowerCase());
  expect(out).toContain("/data");
  expect(daemon.fathom("volume", "ls", "-q")).toBe(before);
  expect(daemon.fathom("ps", "-aq")).toBe("");
});

test("a program that is not there ends run at once", () => {
  const { code, err } = daemon.cli("run", "--rm", daemon.image, "nosuchprogram");
  expect(code).toBe(127);
  expect(err).toContain('exec: "nosuchprogram": executable file not found in $PATH');
  const started = daemon.cli("run", "--name", "kept", daemon.image, "/etc");
  expect(started.code).toBe(126);
  daemon.fathom("rm", "kept");
});

test("other users of the machine cannot look into the state", () => {
  const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
  expect(mode(daemon.dataRoot)).toBe("710");
  expect(mode(join(daemon.dataRoot, "fathom.db"))).toBe("600");
  expect(mode(join(daemon.work, "run"))).toBe("711");
  expect(mode(daemon.socket)).toBe("660");
});

test("a second daemon does not take the first one's bridge and rules away; with a bridge of its own it may run", async () => {
  const table = (): string => daemon.run("nft", "list", "table", "ip", "fathom").out;
  const before = table();
  expect(before).not.toBe("");
  const host = `unix://${daemon.work}/s2`;
  const place = (name: string): string => `${daemon.work}/${name}2`;
  const flags = { "-H": host, "--data-root": place("data"), "--exec-root": place("run"), "--pidfile": place("pid") };
  const second = (bridge: string): string[] => {
    const all = { ...flags, "--cgroup-parent": "/fathom-cli2", "--bridge": bridge };
    return [binary, "daemon", ...Object.entries(all).flat()];
  };
  const refused = daemon.run(...second("fathom0"));
  expect({ code: refused.code, said: refused.err.includes("--bridge") }).toEqual({ code: 1, said: true });
  expect(table()).toBe(before);

  const allowed = daemon.begin(...second("fathom1"));
  await until("the second one answers", () => existsSync(place("s")));
  expect(daemon.run(binary, "-H", host, "run", "--rm", "hello").code).toBe(0);
  allowed.kill();
  await allowed.exited;
  expect(table()).toBe(before);
  expect(readdirSync("/run").filter((name) => name.startsWith("fathom-fathom1"))).toEqual([]);
}, 60_000);

test("usage errors, help of every command, completion", () => {
  expect(daemon.cli("run", "--nosuch").code).toBe(125);
  for (const words of [["run"], ["daemon"], ["image", "prune"], ["container", "ls"], ["exec"], ["volume", "create"]]) {
    const { code, out } = daemon.cli(...words, "--help");
    expect({ words, code, usage: out.startsWith("Usage:  fathom ") }).toEqual({ words, code: 0, usage: true });
  }
  expect(daemon.fathom("__complete", "run", "--net")).toContain("--network");
  for (const shell of ["bash", "zsh", "fish"])
    expect(daemon.fathom("completion", shell)).toContain("fathom __complete");
});

test("an image committed here is saved and loaded with the same id; a wrong platform is refused", () => {
  daemon.fathom("run", "--name", "changed", daemon.image, "sh", "-c", "echo saved > /file");
  const { code } = daemon.run("docker", "-H", `unix://${daemon.work}/s`, "commit", "changed", "made:1");
  expect(code).toBe(0);
  daemon.fathom("rm", "changed");
  const id = daemon.fathom("inspect", "-f", "{{.Id}}", "made:1");
  daemon.fathom("save", "-o", `${daemon.work}/made.tar`, "made:1");
  expect(daemon.cli("save", "--platform", "linux/arm64", "-o", `${daemon.work}/no.tar`, "made:1").code).not.toBe(0);
  daemon.fathom("rmi", "made:1");
  expect(daemon.cli("load", "--platform", "linux/arm64", "-i", `${daemon.work}/made.tar`).code).not.toBe(0);
  expect(daemon.fathom("load", "-i", `${daemon.work}/made.tar`)).toBe("Loaded image: made:1");
  expect(daemon.fathom("inspect", "-f", "{{.Id}}", "made:1")).toBe(id);
  expect(daemon.fathom("run", "--rm", "made:1", "cat", "/file")).toBe("saved");
});

test("input from a file, from nowhere, from a pipe", () => {
  const { image, work } = daemon;
  daemon.fathom("run", "-d", "--name", "fed", image, "sleep", "1000");
  const line = (words: string, input: string): object => {
    const { code, out, err } = daemon.run("sh", "-c", `echo given > ${work}/input; ${binary} ${words} ${input}`);
    return { words, input, code, out, err };
  };
  for (const words of [`run --rm -i ${image} cat`, "exec -i fed cat"]) {
    for (const input of [`< ${work}/input`, "< /dev/null", "<&-", `0<> ${work}/input`])
      expect(line(words, input)).toEqual({
        words,
        input,
        code: 0,
        out: input.includes("/input") ? "given\n" : "",
        err: "",
      });
    // A program that takes nothing of it ends all the same.
    expect(line(words.replace("cat", "true"), "< /dev/zero")).toMatchObject({ code: 0, out: "", err: "" });
    const piped = daemon.run("sh", "-c", `seq 100000 | ${binary} ${words} | tail -1`);
    expect(piped).toEqual({ code: 0, out: "100000\n", err: "" });
  }
  daemon.fathom("rm", "-f", "fed");
}, 60_000);

test("the keys that detach end run, start and attach, and give the terminal back", async () => {
  const client = (...words: string[]): ReturnType<TestDaemon["talk"]> =>
    daemon.talk(["sh", "-c", `${[binary, ...words].join(" ")}; echo code $?; stty -a`], { terminal: true });
  const detached = async (started: ReturnType<typeof client>, sign: string): Promise<void> => {
    await until("the shell asks", () => started.out().includes(sign));
    started.write("\x10\x11");
    await started.exited;
    expect(started.out()).toContain("code 0");
    expect(started.out()).toMatch(/ icanon .* echo /s);
  };
  await detached(client("run", "-it", "--name", "left", daemon.image, "sh"), "#");
  const again = client("attach", "left");
  await until("it is attached", () => {
    again.write("\r");
    return again.out().includes("#");
  });
  await detached(again, "#");
  daemon.fathom("stop", "-t", "0", "left");
  await detached(client("start", "-ai", "left"), "#");
  expect(daemon.fathom("ps", "-q", "--filter", "name=left")).not.toBe("");
  daemon.fathom("rm", "-f", "left");
}, 60_000);
