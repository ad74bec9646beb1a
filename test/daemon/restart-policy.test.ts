/** Restart policies when the daemon is killed: a container that ends meanwhile is started again, or not, as if the daemon had seen its end. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EventMessage } from "@fathom/spec";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
let shared: string;

beforeAll(async () => {
  daemon = new TestDaemon("policy");
  await daemon.start();
  daemon.loadImage();
  shared = join(daemon.work, "shared");
  mkdirSync(shared);
}, 60_000);

afterAll(() => daemon.close(), 60_000);

/** The first run ends with `code` when the file `go` exists, the next `fails` runs end at once, and the run after them stays. */
function program(name: string, code: number, fails: number): string {
  return `
    echo run >> /shared/${name}
    runs=$(wc -l < /shared/${name})
    if [ $runs -eq 1 ]; then until [ -e /shared/go ]; do sleep 0.05; done; exit ${code}; fi
    if [ $runs -le ${1 + fails} ]; then exit ${code}; fi
    exec sleep 1000`;
}

function run(name: string, policy: string, code: number, fails = 0): void {
  const command = ["sh", "-c", program(name, code, fails)];
  daemon.docker(
    "run",
    "-d",
    "--name",
    name,
    "--restart",
    policy,
    "-v",
    `${shared}:/shared`,
    "--stop-signal",
    "KILL",
    daemon.image,
    ...command,
  );
}

const show = (name: string): string =>
  daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}", name);
const runs = (name: string): number => readFileSync(join(shared, name), "utf8").split("\n").length - 1;

test("containers that end while no daemon runs", async () => {
  run("always-0", "always", 0);
  run("always-3", "always", 3);
  run("unless-stopped", "unless-stopped", 0);
  run("on-failure-0", "on-failure", 0);
  run("on-failure-4", "on-failure", 4);
  run("on-failure-2-times", "on-failure:2", 5, 100);
  run("no", "no", 6);
  daemon.docker(
    "run",
    "-d",
    "--name",
    "rm",
    "--rm",
    "-v",
    `${shared}:/shared`,
    daemon.image,
    "sh",
    "-c",
    program("rm", 0, 0),
  );
  // The containers above wait; those below had ended or been stopped before.
  const quick = (name: string, policy: string, ...command: string[]): void =>
    void daemon.docker(
      "run",
      "-d",
      "--name",
      name,
      "--restart",
      policy,
      "--stop-signal",
      "KILL",
      daemon.image,
      ...command,
    );
  quick("gave-up", "on-failure:1", "sh", "-c", "exit 8");
  quick("waits", "always", "sh", "-c", "exit 9");
  quick("stopped-unless", "unless-stopped", "sleep", "1000");
  quick("killed-unless", "unless-stopped", "sleep", "1000");
  quick("stopped-always", "always", "sleep", "1000");
  quick("stopped-failure", "on-failure", "sleep", "1000");
  daemon.docker("stop", "-t", "0", "stopped-unless", "stopped-always", "stopped-failure");
  daemon.docker("kill", "killed-unless");
  daemon.docker("create", "--name", "never", "--restart", "always", daemon.image, "sleep", "1000");
  await until("the policy has stopped trying", () => show("gave-up") === "exited 8 1");
  await until("it waits for its next try", () => show("waits").startsWith("restarting 9"));
  const ending = [
    "always-0",
    "always-3",
    "unless-stopped",
    "on-failure-0",
    "on-failure-4",
    "on-failure-2-times",
    "no",
    "rm",
  ];
  const pids = ending.map((name) => daemon.docker("inspect", "-f", "{{.State.Pid}}", name));
  const started = daemon.docker("inspect", "-f", "{{.State.StartedAt}}", "no");

  await daemon.kill();
  writeFileSync(join(shared, "go"), "");
  await until("all have ended", () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
  const ended = new Date();
  await daemon.start();

  for (const name of ["always-0", "always-3", "unless-stopped", "on-failure-4"]) {
    await until(`${name} runs again`, () => show(name).startsWith("running"));
    expect([name, show(name), runs(name)]).toEqual([name, "running 0 1", 2]);
  }
  await until("the tries are used up", () => show("on-failure-2-times").startsWith("exited"));
  expect(show("on-failure-2-times")).toBe("exited 5 2");
  expect(runs("on-failure-2-times")).toBe(3);
  expect(show("on-failure-0")).toBe("exited 0 0");
  expect(show("no")).toBe("exited 6 0");
  const [from, to] = daemon.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.FinishedAt}}", "no").split(" ");
  expect(from).toBe(started);
  expect(Date.parse(to!)).toBeGreaterThan(Date.parse(started));
  expect(Date.parse(to!)).toBeLessThanOrEqual(ended.getTime());
  await until("the container with --rm is removed", () => daemon.run("docker", "inspect", "rm").code !== 0);

  expect(show("gave-up")).toBe("exited 8 1");
  expect(show("stopped-unless")).toBe("exited 137 0");
  expect(show("killed-unless")).toBe("exited 137 0");
  expect(show("stopped-failure")).toBe("exited 137 0");
  expect(show("never")).toBe("created 0 0");
  // As in Docker: "always" also applies when the daemon starts.
  await until("it is started with the daemon", () => show("stopped-always") === "running 0 0");
  const tries = Number(show("waits").split(" ")[2]);
  await until("the tries go on", () => Number(show("waits").split(" ")[2]) > tries);
  daemon.docker("stop", "waits");
  expect(show("waits")).toStartWith("exited 9");
}, 60_000);

test("a container that keeps running keeps its policy; a daemon that stops starts its containers again later", async () => {
  const pid = (name: string): string => daemon.docker("inspect", "-f", "{{.State.Pid}}", name);
  daemon.docker(
    "run",
    "-d",
    "--name",
    "goes-on",
    "--restart",
    "on-failure:3",
    "--stop-signal",
    "KILL",
    daemon.image,
    "sleep",
    "1000",
  );
  const first = pid("goes-on");
  await daemon.kill();
  await daemon.start();
  expect(show("goes-on")).toBe("running 0 0");
  expect(pid("goes-on")).toBe(first);
  process.kill(Number(first), "SIGKILL");
  await until("it runs again", () => show("goes-on") === "running 0 1");

  await daemon.stop();
  await daemon.start();
  for (const name of ["goes-on", "always-0", "unless-stopped", "stopped-always"])
    await until(`${name} is back`, () => show(name) === "running 0 0");
  expect(show("stopped-unless")).toBe("exited 137 0");
  expect(show("no")).toBe("exited 6 0");
  expect(show("gave-up")).toBe("exited 8 1");
}, 60_000);

test("a stop at any moment after an end wins over a policy that restarts for ever", async () => {
  const names = Array.from({ length: 12 }, (_, index) => `ends-${index}`);
  for (const name of names)
    daemon.docker("create", "--name", name, "--restart", "always", daemon.image, "sh", "-c", "exit 1");
  const hangUp = new AbortController();
  const filters = encodeURIComponent(JSON.stringify({ event: ["die"] }));
  const ends = new Map<string, () => void>();
  const events = await daemon.request("GET", `/events?filters=${filters}`, undefined, hangUp.signal);
  const reading = (async () => {
    let text = "";
    for await (const chunk of events.body!) {
      text += Buffer.from(chunk).toString();
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) ends.get((JSON.parse(line) as EventMessage).Actor.Attributes["name"]!)?.();
    }
  })().catch(() => undefined);
  const statuses = new Set<number>();
  const lost: string[] = [];
  for (let round = 0; round < 10; round++) {
    await Promise.all(
      names.map(async (name, index) => {
        const ended = new Promise<void>((resolve) => ends.set(name, resolve));
        await daemon.request("POST", `/containers/${name}/start`);
        await ended;
        // sleep: each try has another moment
        await Bun.sleep((index + round) % 6);
        const { status } = await daemon.request("POST", `/containers/${name}/stop`);
        statuses.add(status);
      }),
    );
    // sleep: a policy that had ignored the stop would have started all of them again, after 100 ms
    await Bun.sleep(250);
    for (const name of names) if (!show(name).startsWith("exited")) lost.push(`round ${round}: ${name} ${show(name)}`);
  }
  hangUp.abort();
  await reading;
  expect(lost).toEqual([]);
  expect([...statuses]).toEqual([204]);
}, 60_000);
