/** kill -9 of the daemon: containers and published ports go on, and the next daemon knows the truth. With the compiled program and its own CLI. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { makeBusyboxImage } from "../make-busybox-image.ts";

const binary = process.env["FATHOM_BINARY"] ?? resolve(import.meta.dir, "../../dist/fathom");
const space = `fathom-crash-${process.pid}`;
const image = "localhost/busybox:test";
let work: string;
let daemon: Bun.Subprocess | undefined;

function run(...command: string[]): { code: number; out: string; err: string } {
  const child = Bun.spawnSync(["nsenter", `--net=/run/netns/${space}`, ...command], {
    stdin: "ignore",
    timeout: 30_000,
    env: { ...process.env, FATHOM_HOST: `unix://${work}/s`, HOME: work },
  });
  return { code: child.exitCode ?? -1, out: child.stdout.toString(), err: child.stderr.toString() };
}

/** Runs a command of the CLI that must succeed; gives what it printed. */
function fathom(...args: string[]): string {
  const { code, out, err } = run(binary, ...args);
  if (code !== 0) throw new Error(`fathom ${args.join(" ")}: ${code}: ${err}`);
  return out.trim();
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (condition()) return;
    await Bun.sleep(50);
  }
  throw new Error(`waited in vain: ${what}`);
}

async function startDaemon(): Promise<void> {
  daemon = Bun.spawn(
    [
      "nsenter",
      `--net=/run/netns/${space}`,
      binary,
      "daemon",
      "-H",
      `unix://${work}/s`,
      "--data-root",
      `${work}/data`,
    ].concat(["--exec-root", `${work}/run`, "--pidfile", `${work}/pid`, "--cgroup-parent", "/fathom-crash"]),
    { stdin: "ignore", stdout: Bun.file(join(work, "log")), stderr: Bun.file(join(work, "log")) },
  );
  await until("the daemon answers", () => existsSync(join(work, "s")) && run(binary, "ps").code === 0);
}

async function killDaemon(): Promise<void> {
  process.kill(Number(readFileSync(join(work, "pid"), "utf8")), "SIGKILL");
  await daemon?.exited;
  daemon = undefined;
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "fathom-crash-"));
  Bun.spawnSync(["ip", "netns", "add", space]);
  run("ip", "link", "set", "lo", "up");
  await startDaemon();
  makeBusyboxImage(join(work, "layout"), image);
  run("tar", "-C", join(work, "layout"), "-cf", join(work, "image.tar"), ".");
  expect(fathom("load", "-i", join(work, "image.tar"))).toBe(`Loaded image: ${image}`);
}, 60_000);

afterAll(async () => {
  if (daemon !== undefined) {
    for (const id of fathom("ps", "-aq").split("\n").filter(Boolean)) run(binary, "rm", "-f", id);
    process.kill(Number(readFileSync(join(work, "pid"), "utf8")), "SIGTERM");
    await daemon.exited;
  }
  Bun.spawnSync(["ip", "netns", "del", space]);
  rmSync(work, { recursive: true, force: true });
}, 60_000);

test("containers, ports, logs and exits survive the daemon", async () => {
  fathom(
    "run",
    "-d",
    "--name",
    "web",
    "-p",
    "127.0.0.1:18081:80",
    image,
    "sh",
    "-c",
    "echo up; echo served > /index.html; exec httpd -f -p 80 -h /",
  );
  fathom("run", "-d", "--name", "ends", image, "sh", "-c", "sleep 1; echo last words; exit 7");
  const get = (): string => run("curl", "-s", "-m", "2", "http://127.0.0.1:18081/").out.trim();
  await until("the port answers", () => get() === "served");
  const pid = fathom("inspect", "-f", "{{.State.Pid}}", "web");

  await killDaemon();
  expect(get()).toBe("served");
  await Bun.sleep(1500);
  expect(get()).toBe("served");

  await startDaemon();
  expect(get()).toBe("served");
  expect(fathom("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "web")).toBe(`running ${pid}`);
  expect(fathom("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "ends")).toBe("exited 7");
  expect(fathom("wait", "ends")).toBe("7");
  expect(fathom("logs", "ends")).toBe("last words");
  expect(fathom("logs", "web")).toBe("up");
  expect(fathom("exec", "web", "cat", "/index.html")).toBe("served");
  expect(fathom("ps", "--format", "{{.Names}}")).toBe("web");
  fathom("stop", "-t", "1", "web");
  expect(fathom("inspect", "-f", "{{.State.Status}}", "web")).toBe("exited");
  expect(get()).toBe("");
  fathom("rm", "web", "ends");
}, 60_000);

test("kill -9 of a supervisor: the container is reported dead with a reason, nothing of it is left", async () => {
  fathom("run", "-d", "--name", "orphan", image, "sleep", "1000");
  const pid = fathom("inspect", "-f", "{{.State.Pid}}", "orphan");
  const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]!;
  process.kill(Number(parent), "SIGKILL");
  await until("it is not running", () => fathom("inspect", "-f", "{{.State.Running}}", "orphan") === "false");
  expect(fathom("inspect", "-f", "{{.State.Error}}", "orphan")).toContain("supervisor");
  // Gone, or dead and waiting for whoever inherited it.
  const gone = (): boolean =>
    !existsSync(`/proc/${pid}`) || /^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  await until("its process is gone", gone);
  fathom("rm", "orphan");
}, 60_000);
