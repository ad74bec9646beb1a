/** kill -9 of the daemon while clients are attached: the containers and their input continue. Clients of the next daemon find everything unchanged. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon, until, type Conversation } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("attach");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

/** Repeats every line of its input, and ends with the code of "end CODE". */
const echoes =
  'echo up; while read -r line; do case $line in end*) exit ${line#end };; *) echo "said $line";; esac; done; echo closed; exit 40';
const sees = (client: Conversation, text: string): Promise<void> =>
  until(`${JSON.stringify(text)} comes`, () => client.out().includes(text));

async function restart(): Promise<void> {
  await daemon.kill();
  await daemon.start();
}

const state = (name: string): string => daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name);

test("without a terminal", async () => {
  const first = daemon.talk(["docker", "run", "-i", "--name", "plain", daemon.image, "sh", "-c", echoes]);
  await sees(first, "up");
  first.write("one\n");
  await sees(first, "said one");
  const pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "plain");
  const lost = daemon.talk(["docker", "exec", "-i", "plain", "cat"]);
  const programs = (): string => daemon.docker("top", "plain", "-o", "pid,comm");
  await until("the exec runs", () => programs().includes("cat"));

  await restart();
  await first.exited;
  expect(state("plain")).toBe("running 0");
  expect(daemon.docker("inspect", "-f", "{{.State.Pid}}", "plain")).toBe(pid);
  expect(daemon.docker("logs", "plain")).toBe("up\nsaid one");
  // Nobody can attach to an exec again, so its input has ended.
  await lost.exited;
  await until("the exec has ended", () => !programs().includes("cat"));

  const second = daemon.talk(["docker", "attach", "plain"]);
  const third = daemon.talk(["docker", "attach", "--no-stdin", "plain"]);
  await until("both clients are attached", () => {
    second.write("two\n");
    return second.out().includes("said two") && third.out().includes("said two");
  });
  expect(daemon.docker("exec", "plain", "echo", "inside")).toBe("inside");
  const input = daemon.talk(["docker", "exec", "-i", "plain", "cat"]);
  input.write("through exec\n");
  input.end();
  expect(await input.exited).toBe(0);
  expect(input.out()).toBe("through exec\n");

  const waiting = daemon.talk(["docker", "wait", "plain"]);
  second.write("end 7\n");
  expect(await second.exited).toBe(7);
  expect(await third.exited).toBe(7);
  expect(await waiting.exited).toBe(0);
  expect(waiting.out()).toBe("7\n");
  expect(state("plain")).toBe("exited 7");
  expect(daemon.docker("logs", "plain")).toStartWith("up\nsaid one\nsaid two");
  daemon.docker("rm", "plain");
}, 60_000);

test("the end of a client's input still ends the container's input", async () => {
  const first = daemon.talk(["docker", "run", "-i", "--name", "once", daemon.image, "sh", "-c", echoes]);
  await sees(first, "up");
  await restart();
  await first.exited;
  const second = daemon.talk(["docker", "attach", "once"]);
  second.write("last\n");
  second.end();
  expect(await second.exited).toBe(40);
  expect(second.out()).toBe("said last\nclosed\n");
  daemon.docker("rm", "once");

  // Killing a client also ends the input. Only the daemon's end does not.
  const gone = daemon.talk(["docker", "run", "-i", "--name", "gone", daemon.image, "sh", "-c", echoes]);
  await sees(gone, "up");
  gone.kill();
  await until("the container ends", () => state("gone") === "exited 40");
  daemon.docker("rm", "gone");
}, 60_000);

test("with a terminal", async () => {
  const first = daemon.talk(["docker", "run", "-it", "--name", "tty", daemon.image, "sh"], { terminal: true });
  await sees(first, "#");
  first.write("echo $((40 + 1))\r");
  await sees(first, "41");

  await restart();
  await first.exited;
  expect(state("tty")).toBe("running 0");
  expect(daemon.docker("logs", "tty")).toContain("41");

  const second = daemon.talk(["docker", "attach", "tty"], { terminal: true });
  second.write("echo $((40 + 2))\r");
  await sees(second, "42");
  second.resize(33, 91);
  await until("the container's terminal has the new size", () => {
    second.write("stty size\r");
    return second.out().includes("33 91");
  });
  const program = daemon.talk(["docker", "exec", "-it", "tty", "sh"], { terminal: true });
  await sees(program, "#");
  program.write("stty size; exit 5\r");
  expect(await program.exited).toBe(5);
  expect(program.out()).toContain("24 80");

  // Detach, and attach again.
  second.write("\x10\x11");
  await second.exited;
  expect(second.out()).toContain("read escape sequence");
  expect(state("tty")).toBe("running 0");
  const third = daemon.talk(["docker", "attach", "tty"], { terminal: true });
  third.write("\rexit 9\r");
  expect(await third.exited).toBe(9);
  expect(state("tty")).toBe("exited 9");
  daemon.docker("rm", "tty");
}, 60_000);

test("stop, kill, pause, restart and rename", async () => {
  const trap = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.1; done";
  const names = ["stopped", "killed", "paused", "again", "old"];
  for (const name of names) daemon.docker("run", "-d", "--name", name, daemon.image, "sh", "-c", trap);
  await until("all containers run", () => names.every((name) => daemon.docker("logs", name) === "up"));
  daemon.docker("pause", "paused");
  await restart();

  daemon.docker("stop", "stopped");
  expect(state("stopped")).toBe("exited 3");
  expect(daemon.docker("logs", "stopped")).toBe("up\nasked");
  daemon.docker("kill", "killed");
  expect(state("killed")).toBe("exited 137");
  expect(state("paused")).toBe("paused 0");
  daemon.docker("unpause", "paused");
  daemon.docker("stop", "paused");
  expect(state("paused")).toBe("exited 3");
  daemon.docker("restart", "again");
  expect(state("again")).toBe("running 0");
  daemon.docker("rename", "old", "new");
  expect(daemon.docker("top", "new", "-o", "pid,args")).toContain("sleep");
  // A stop during which the daemon is killed.
  const deaf = "trap 'echo asked' TERM; echo up; while :; do sleep 0.1; done";
  daemon.docker("run", "-d", "--name", "deaf", daemon.image, "sh", "-c", deaf);
  await until("the container runs", () => daemon.docker("logs", "deaf") === "up");
  const stop = daemon.begin("docker", "stop", "-t", "1000", "deaf");
  await until("it is asked to stop", () => daemon.docker("logs", "deaf").includes("asked"));
  await restart();
  expect(await stop.exited).not.toBe(0);
  expect(state("deaf")).toBe("running 0");
  daemon.docker("stop", "-t", "0", "deaf");
  expect(state("deaf")).toBe("exited 137");
  daemon.docker("rm", "-f", "stopped", "killed", "paused", "again", "new", "deaf");
}, 60_000);

test("a daemon that leaves its containers running ends no input", async () => {
  await daemon.stop();
  await daemon.start("--live-restore");
  const first = daemon.talk(["docker", "run", "-i", "--name", "live", daemon.image, "sh", "-c", echoes]);
  await sees(first, "up");
  await daemon.stop();
  await first.exited;
  await daemon.start("--live-restore");
  expect(state("live")).toBe("running 0");
  const second = daemon.talk(["docker", "attach", "live"]);
  second.write("end 6\n");
  expect(await second.exited).toBe(6);
  daemon.docker("rm", "live");
}, 60_000);
