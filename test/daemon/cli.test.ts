/** Our own CLI with our daemon, both compiled: behaviour that no scenario of Docker covers, and bugs of the past. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { noDockerWords } from "../docker-cli.ts";
import { binary, removeCgroup, TestDaemon, until } from "./harness.ts";

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

test("explain shows the plan and leaves nothing behind", () => {
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
    "--cpus",
    "0.5",
    "--pids-limit",
    "11",
    "-p",
    "127.0.0.1:8080:80",
    "-p",
    "81",
    daemon.image,
    "echo",
    "hi",
  );
  expect(out).toContain("In new namespaces".toLowerCase());
  expect(out).toContain("/data");
  expect(out).toContain("at most 64 MiB of memory\n");
  expect(out).toContain("at most 0.5 CPUs");
  expect(out).toContain("at most 11 processes");
  expect(out).toContain("an interface in the network bridge");
  expect(out).toContain("port 80/tcp published at 127.0.0.1:8080 of the host");
  expect(out).toContain("port 81/tcp published at a free port of the host");
  expect(out.match(/by the cgroup/g)).toHaveLength(1);
  expect(daemon.fathom("volume", "ls", "-q")).toBe(before);
  expect(daemon.fathom("ps", "-aq")).toBe("");
});

test("run ends at once when the program does not exist", () => {
  const { code, err } = daemon.cli("run", "--rm", daemon.image, "nosuchprogram");
  expect(code).toBe(127);
  expect(err).toContain('exec: "nosuchprogram": executable file not found in $PATH');
  const started = daemon.cli("run", "--name", "kept", daemon.image, "/etc");
  expect(started.code).toBe(126);
  daemon.fathom("rm", "kept");
});

test("other users of the machine cannot read the state", () => {
  const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
  expect(mode(daemon.dataRoot)).toBe("710");
  expect(mode(join(daemon.dataRoot, "fathom.db"))).toBe("600");
  expect(mode(join(daemon.work, "run"))).toBe("711");
  expect(mode(daemon.socket)).toBe("660");
});

test("a second daemon cannot take over the bridge and rules of the first; with its own bridge it can run", async () => {
  const table = (): string => daemon.run("nft", "list", "table", "ip", "fathom").out;
  const before = table();
  expect(before).not.toBe("");
  const host = `unix://${daemon.work}/s2`;
  const place = (name: string): string => `${daemon.work}/${name}2`;
  const flags = { "-H": host, "--data-root": place("data"), "--exec-root": place("run"), "--pidfile": place("pid") };
  const second = (bridge: string): string[] => {
    const all = { ...flags, "--cgroup-parent": `${daemon.cgroupParent}-2`, "--bridge": bridge };
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
  removeCgroup(`${daemon.cgroupParent}-2`);
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
  const offered = (...words: string[]): string[] =>
    daemon
      .fathom("__complete", ...words)
      .split("\n")
      .map((line) => line.split("\t")[0]!);
  expect(offered("-D", "p")).toEqual(["pause", "port", "ps", "pull", "push"]);
  expect(offered("-H", `unix://${daemon.socket}`, "--debug", "run", "local")).toEqual([daemon.image]);
  expect(offered("--config", "")).toEqual([":files"]);
  expect(offered("--host=unix:///nosuch", "image", "hi")).toEqual(["history"]);
  expect(offered("--ho")).toEqual(["--host"]);
  expect(offered("help", "hi")).toEqual(["history"]);
  expect(offered("explain", "")).toEqual(["create", "run"]);
  expect(offered("explain", "run", "--memory-sw")).toEqual(["--memory-swap", "--memory-swappiness"]);
  for (const shell of ["bash", "zsh", "fish"])
    expect(daemon.fathom("completion", shell)).toContain("fathom __complete");
});

test("an image committed here is saved and loaded with the same id; a wrong platform is rejected", () => {
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

test("input from a file, from /dev/null, from a pipe", () => {
  const { image, work } = daemon;
  daemon.fathom("run", "-d", "--name", "fed", image, "sleep", "1000");
  const line = (words: string, input: string): object => {
    const { code, out, err } = daemon.run("sh", "-c", `echo given > ${work}/input; ${binary} ${words} ${input}`);
    return { words, input, code, out, err };
  };
  for (const words of [`run --rm -i ${image} cat`, "exec -i fed cat"]) {
    for (const input of [`< ${work}/input`, "< /dev/null", "<&-", "< /tmp", `0<> ${work}/input`])
      expect(line(words, input)).toEqual({
        words,
        input,
        code: 0,
        out: input.includes("/input") ? "given\n" : "",
        err: "",
      });
    // A program that reads nothing of its input still ends.
    expect(line(words.replace("cat", "true"), "< /dev/zero")).toMatchObject({ code: 0, out: "", err: "" });
    // Many times: the program may end at any moment of the copying.
    const piped = daemon.run("sh", "-c", `for i in $(seq 12); do seq 100000 | ${binary} ${words} | tail -1; done`);
    expect(piped).toEqual({ code: 0, out: "100000\n".repeat(12), err: "" });
    // An input that stays open does not keep the CLI running.
    const open = daemon.run(
      "sh",
      "-c",
      `sleep 1000 | { ${binary} ${words.replace("cat", "true")}; echo $?; kill $(pgrep -P $$ sleep); }`,
    );
    expect({ code: open.code, out: open.out }).toEqual({ code: 0, out: "0\n" });
  }
  daemon.fathom("rm", "-f", "fed");
}, 60_000);

test("output of a container's terminal arrives unchanged", async () => {
  const command = [binary, "run", "--rm", "-it", daemon.image, "sh", "-c", "sleep 0.5; printf 'a\\nb\\n'"];
  const talk = daemon.talk(command, { terminal: true });
  expect(await talk.exited).toBe(0);
  expect(talk.out()).toEndWith("a\r\nb\r\n");
});

test("the detach keys end run, start and attach, and restore the terminal", async () => {
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
  await until("the client is attached", () => {
    again.write("\r");
    return again.out().includes("#");
  });
  await detached(again, "#");
  daemon.fathom("stop", "-t", "0", "left");
  await detached(client("start", "-ai", "left"), "#");
  expect(daemon.fathom("ps", "-q", "--filter", "name=left")).not.toBe("");
  daemon.fathom("rm", "-f", "left");
}, 60_000);

test("a command ends at once and prints nothing when the reader of its output ends", () => {
  const { image } = daemon;
  const first = (words: string): object => {
    const { out, err } = daemon.run("bash", "-c", `${binary} ${words} | head -1; echo \${PIPESTATUS[0]}`);
    return { words, out, err };
  };
  const gone = (words: string, line: string): object => ({ words, out: `${line}\n141\n`, err: "" });
  expect(first(`run --rm --name endless ${image} yes`)).toEqual(gone(`run --rm --name endless ${image} yes`, "y"));
  expect(first("logs -f endless")).toEqual(gone("logs -f endless", "y"));
  expect(first("exec endless yes x")).toEqual(gone("exec endless yes x", "x"));
  daemon.fathom("rm", "-f", "endless");
  expect(daemon.run("bash", "-c", `${binary} ps > /dev/full`).code).toBe(1);
}, 60_000);

test("events keep their nanoseconds; templates have docker's names", () => {
  daemon.fathom("run", "--rm", "--name", "short", daemon.image, "true");
  const query = [
    "events",
    "--since",
    "1m",
    "--until",
    `${Math.ceil(Date.now() / 1000) + 1}`,
    "--filter",
    "container=short",
  ];
  const raw = daemon.run("docker", ...query, "--format", "{{.TimeNano}} {{.Time}} {{.Status}} {{.From}} {{.Scope}}");
  expect(raw.out).toMatch(/^\d{19} /);
  expect(daemon.fathom(...query, "--format", "{{.TimeNano}} {{.Time}} {{.Status}} {{.From}} {{.Scope}}")).toBe(
    raw.out.trim(),
  );
  const numbers = raw.out.split("\n").map((line) => line.split(" ")[0]!);
  for (const format of ["json", "{{json .}}"])
    expect([...daemon.fathom(...query, "--format", format).matchAll(/"timeNano":(\d+)/g)].map((m) => m[1]!)).toEqual(
      numbers.filter(Boolean),
    );
  const json = [...query, "--format", "json"];
  if (noDockerWords() === undefined) expect(daemon.fathom(...json)).toBe(daemon.docker(...json));
  expect(daemon.fathom(...query)).toBe(daemon.docker(...query));
});

test.skipIf(noDockerWords() !== undefined)(
  "output and errors in docker's words",
  () => {
    const { image } = daemon;
    const both = (...args: string[]): void => {
      const mine = daemon.cli(...args);
      const theirs = daemon.run("docker", ...args);
      const plain = (text: string): string => text.replaceAll(/\bdocker\b/g, "fathom");
      expect({ args, ...mine }).toEqual({ args, code: theirs.code, out: plain(theirs.out), err: plain(theirs.err) });
    };
    both("pull", "127.0.0.1:1/none");
    both("run", "--rm", "127.0.0.1:1/none");
    both("run", "--platform", "linux/arm64", image, "true");
    both("run", "--pull", "never", "--platform", "linux/arm64", image, "true");
    for (const flag of [
      ["-e", "=x"],
      ["-a", "foo"],
      ["-m", "1q"],
      ["-m", "-1"],
      ["--shm-size", "1.5.5"],
    ])
      both("run", ...flag, image);
    both("create", "-a", "foo", image);
    daemon.fathom("run", "-d", "--name", "listed", "-l", "a=<b>", image, "sleep", "1000");
    both("exec", "-e", "=x", "listed", "true");
    const fields = (text: string): object => JSON.parse(text.split("\n")[0]!) as object;
    for (const args of [
      ["ps", "--format", "json"],
      ["images", "--format", "json", image],
    ]) {
      const mine = fields(daemon.fathom(...args));
      const theirs = fields(daemon.docker(...args));
      expect(Object.keys(mine)).toEqual(Object.keys(theirs));
      // Older versions of the API do not count the containers of an image.
      const same = (row: object): object => ({ ...row, Containers: "", RunningFor: "", Status: "" });
      expect(same(mine)).toEqual(same(theirs));
    }
    daemon.fathom("rm", "-f", "listed");
  },
  60_000,
);

test("messages for new users", () => {
  const bare = daemon.cli();
  expect({ code: bare.code, err: bare.err }).toEqual({ code: 0, err: "" });
  expect(bare.out).toContain("FATHOM_HOST");
  expect(bare.out).toContain("unix:///run/fathom/fathom.sock");
  expect(daemon.cli("image")).toEqual(daemon.cli("image", "--help"));
  expect(daemon.cli("rnu").err).toContain("Did you mean 'fathom run'?");
  expect(daemon.cli("image", "hstory").err).toContain("Did you mean 'fathom image history'?");
  expect(daemon.cli("nothinglikeit").err).not.toContain("Did you mean");
  expect(daemon.cli("swarm", "init")).toEqual({
    code: 1,
    out: "",
    err: 'fathom: this CLI has no "swarm": it belongs to a swarm, and Fathom\'s machines are in none\n',
  });
  expect(daemon.cli("volume", "update", "x").err).toStartWith('fathom: this CLI has no "volume update": ');
  expect(daemon.fathom("update", "--help")).toContain("Examples:\n  fathom update --memory 512m");
  const lost = daemon.cli("-H", "unix:///nosuch/socket", "ps");
  expect(lost).toEqual({
    code: 1,
    out: "",
    err: 'cannot connect to the fathom daemon at unix:///nosuch/socket: is it running? "fathom daemon -H unix:///nosuch/socket" starts one\n',
  });
  expect(daemon.fathom("explain", "run", "--help")).toContain("--memory bytes");
});

test("on a terminal: a wrong name gets a suggestion, tables fit, stats are shown again and again in place", async () => {
  daemon.fathom(
    "run",
    "-d",
    "--name",
    "some-name",
    daemon.image,
    "sh",
    "-c",
    "while true; do sleep 0.01; done # and a long comment",
  );
  const shown = async (...words: string[]): Promise<string> => {
    const program = daemon.talk([binary, ...words], { terminal: true });
    await program.exited;
    return program.out().replaceAll("\r", "");
  };
  expect(await shown("stop", "some-nmae")).toBe(
    "Error response from daemon: No such container: some-nmae\n\nDid you mean 'some-name'?\n",
  );
  expect(await shown("diff", "ome-nam")).toContain("Did you mean 'some-name'?");
  expect(await shown("diff", "nothing-like-it")).not.toContain("Did you mean");
  expect(daemon.cli("stop", "some-nmae").err).not.toContain("Did you mean");
  const table = (await shown("ps", "--filter", "name=some-name")).trimEnd().split("\n");
  expect(table).toHaveLength(2);
  for (const line of table) expect([...line].length).toBeLessThanOrEqual(80);
  expect(table[1]).toEndWith("some-name");
  expect(await shown("ps", "--no-trunc")).toContain("# and a long comment");
  const stats = daemon.talk([binary, "stats"], { terminal: true });
  await until("the table is there twice", () => stats.out().split("\x1b[H").length > 3);
  expect(stats.out()).toMatch(/CONTAINER ID +NAME +CPU %/);
  expect(stats.out()).toContain("some-name");
  daemon.fathom("run", "-d", "--name", "later", daemon.image, "sleep", "1000");
  await until("a container that starts is added", () => /later +\d/.test(stats.out()));
  daemon.fathom("rm", "-f", "later");
  const last = (): string => stats.out().split("\x1b[H").at(-1)!;
  await until("a container that ends is removed", () => last().includes("some-name") && !last().includes("later"));
  stats.kill();
  await stats.exited;
  daemon.fathom("rm", "-f", "some-name");
}, 60_000);

test("login, push and pull with a registry that wants a password", async () => {
  const address = await daemon.startRegistry({ user: "me", password: "se:cret" });
  const name = `${address}/own:1`;
  daemon.fathom("tag", daemon.image, name);
  expect(daemon.cli("push", name).code).toBe(1);
  const login = (password: string): object => {
    const { code, out, err } = daemon.run(
      "sh",
      "-c",
      `printf '${password}\n' | ${binary} login -u me --password-stdin ${address}`,
    );
    return { code, out, warned: err.includes("stored unencrypted") };
  };
  expect(login("wrong")).toEqual({ code: 1, out: "", warned: false });
  expect(login("se:cret")).toEqual({ code: 0, out: "Login Succeeded\n", warned: true });
  expect(daemon.fathom("login", address)).toBe("Login Succeeded");
  expect(daemon.fathom("push", "-q", name)).toBe(name);
  expect(daemon.fathom("push", name)).toContain("digest: sha256:");
  // docker uses what was stored here.
  expect(daemon.docker("pull", "-q", name)).toBe(name);
  expect(daemon.fathom("logout", address)).toBe(`Removing login credentials for ${address}`);
  expect(daemon.cli("pull", name).code).toBe(1);
}, 60_000);

test("inspect shows the fields that scripts read: legacy fields, whole objects in alphabetical order, templates in the order of definition", () => {
  daemon.fathom("run", "-d", "--name", "shown", "--ulimit", "nofile=500:600", daemon.image, "sleep", "1000");
  expect(daemon.fathom("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "shown")).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  const [whole] = JSON.parse(daemon.fathom("inspect", "shown"));
  expect(Object.keys(whole.State)).toEqual(Object.keys(whole.State).toSorted());
  expect(daemon.fathom("inspect", "-f", "{{json .HostConfig.Ulimits}}", "shown")).toBe(
    '[{"Name":"nofile","Hard":600,"Soft":500}]',
  );
  daemon.fathom("rm", "-f", "shown");
});
