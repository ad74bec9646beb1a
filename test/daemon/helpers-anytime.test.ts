/**
 * Every process of the engine (launchers, supervisors, stems, one-call helpers, forwarders) is killed or stopped at any moment of every
 * command. Commands end, states agree with the kernel, nothing is left behind, and everything that was not hit continues. FATHOM_SEED repeats a
 * run, as far as the machine's timing allows; FATHOM_KILL_SECONDS makes it longer.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";
import { heldMore, settledHoldings } from "./settled-holdings.ts";
import { childrenOf, randomFrom, isAlive, readOrEmpty } from "@fathom/base/testing";

const seed = Number(process.env["FATHOM_SEED"] ?? Date.now() % 1_000_000_007);
const seconds = Number(process.env["FATHOM_KILL_SECONDS"] ?? 8);
const { next: random, pick: any } = randomFrom(seed);

let daemon: TestDaemon;
/** Waits until the pool of stems is full; after kills that takes a while. */
let before: Record<string, number>;
beforeAll(async () => {
  daemon = new TestDaemon("helpers");
  await daemon.start();
  daemon.loadImage();
  mkdirSync(join(daemon.work, "tree"));
  for (let index = 0; index < 100; index++) writeFileSync(join(daemon.work, "tree", `${index}`), "x");
  before = await settledHoldings(daemon);
}, 60_000);
afterAll(() => daemon?.close(), 60_000);

const isHelper = (pid: number): boolean => readOrEmpty(`/proc/${pid}/cmdline`).startsWith("fathom-");

/** The engine's own processes below the daemon, including the stems (they show the same name), but not the containers' programs. */
function helpers(): number[] {
  const children = childrenOf(daemon.pid);
  return [...children, ...children.flatMap(childrenOf)].filter(isHelper);
}

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name);
  } catch {
    // The process has ended.
  }
};

interface Container {
  readonly Id: string;
  readonly State: { readonly Status: string; readonly Pid: number; readonly Running: boolean };
}

const names = ["a", "b", "c"];
const tree = (): string => join(daemon.work, "tree");
const sleeper = (): string[] => [daemon.image, "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"];
/** Commands, with the names that failures show. They may fail: their container may not exist, or may not run. */
const commands: Readonly<Record<string, (name: string) => string[]>> = {
  run: (name) => ["run", "-d", "--name", name, "-p", "80", ...sleeper()],
  "run --rm": () => ["run", "--rm", daemon.image, "echo", "hello"],
  start: (name) => ["start", name],
  exec: (name) => ["exec", name, "echo", "hello"],
  stop: (name) => ["stop", "-t", "1", name],
  kill: (name) => ["kill", name],
  rm: (name) => ["rm", "-f", "-v", name],
  restart: (name) => ["restart", "-t", "0", name],
  "cp in": (name) => ["cp", tree(), `${name}:/tree`],
  "cp out": (name) => ["cp", `${name}:/bin`, join(daemon.work, `out-${name}`)],
  top: (name) => ["top", name],
  commit: (name) => ["commit", name, `localhost/committed:${name}`],
  pause: (name) => ["pause", name],
  unpause: (name) => ["unpause", name],
};

/**
 * How long a helper that an exec needs may be stopped. An exec whose program has run has no deadline: its output comes through its supervisor, and
 * nothing else resumes the supervisor while the container runs. So the test resumes it after this time, and then the exec must end.
 */
const execPatienceMs = 10_000;

/** Runs one command, and sends a signal to one of the helpers while it works. Returns how the command ended. */
async function disturbed(command: readonly string[], name: NodeJS.Signals, limitMs: number): Promise<string> {
  const talk = daemon.talk(["docker", ...command]);
  let ended = false;
  const exited = talk.exited.then((code) => {
    ended = true;
    return code;
  });
  // sleep: the signal may come at any moment
  await Bun.sleep(random() * 40);
  const hit = any(helpers());
  const what =
    hit === undefined ? "nobody" : readOrEmpty(`/proc/${hit}/cmdline`).replaceAll("\0", " ").trim().slice(0, 40);
  if (hit !== undefined) signal(hit, name);
  // The helper has just become the container's program. That may be stopped for any length of time.
  if (hit !== undefined && name === "SIGSTOP" && !isHelper(hit)) signal(hit, "SIGCONT");
  const begun = Date.now();
  const deadline = Date.now() + limitMs;
  // sleep: looks for the end
  while (!ended && Date.now() < deadline) {
    await Bun.sleep(10);
    if (hit !== undefined && command[0] === "exec" && Date.now() - begun > execPatienceMs) signal(hit, "SIGCONT");
  }
  const told = `docker ${command.slice(0, 3).join(" ")} with ${name} to ${what}: `;
  if (!ended) {
    talk.kill();
    throw new Error(`${told}no end within ${limitMs / 1000} s (seed ${seed})`);
  }
  if (hit !== undefined) signal(hit, "SIGCONT");
  return `${told}${await exited} ${talk.err()}`;
}

/** Docker's words and the kernel's state agree. */
async function agree(after: string): Promise<void> {
  let wrong = "";
  await until("the states are the kernel's", async () => {
    const { json } = await daemon.api<{ Id: string }[]>("GET", "/containers/json?all=1");
    const all = await Promise.all(json.map(({ Id }) => daemon.api<Container>("GET", `/containers/${Id}/json`)));
    wrong = all
      .filter(({ status }) => status === 200)
      .flatMap(({ json: { Id, State } }) => {
        const alive = State.Pid > 0 && isAlive(State.Pid);
        const steady = ["created", "running", "paused", "exited"].includes(State.Status);
        return alive === State.Running && steady
          ? []
          : [`${Id} is ${State.Status} and its process ${alive ? "lives" : "is gone"}`];
      })
      .join();
    return wrong === "";
  }).catch(() => {
    throw new Error(`after ${after} (seed ${seed}): ${wrong}`);
  });
}

async function removeAll(): Promise<void> {
  daemon.removeContainers("-v");
  await until("no container is left", () => daemon.docker("ps", "-aq") === "");
}

for (const [name, limitMs] of [
  ["SIGKILL", 25_000],
  ["SIGSTOP", 28_000],
] as const)
  test(`${name} sent to any helper at any moment`, async () => {
    let rounds = 0;
    const hello: string[] = [];
    for (const end = Date.now() + seconds * 1000; Date.now() < end; rounds++) {
      const container = any(names);
      const kind = any(Object.keys(commands));
      const told = await disturbed(commands[kind]!(container), name, limitMs);
      await agree(told);
      if (name === "SIGKILL") continue;
      // No container is dead: every running container accepts execs.
      for (const running of daemon.docker("ps", "-q", "-f", "status=running").split("\n").filter(Boolean)) {
        const { code, err } = daemon.run("docker", "exec", running, "true");
        if (code !== 0) hello.push(`${told} then exec ${code} ${err}`);
      }
    }
    console.log(`${name}: ${rounds} rounds, seed ${seed}`);
    expect(hello).toEqual([]);
    await removeAll();
    expect(await heldMore(daemon, before)).toEqual([]);
  }, 600_000);
