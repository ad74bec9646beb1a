/**
 * Supervisors are in a cgroup of their own. When a service manager or the kernel's OOM killer ends all processes in the daemon's cgroup, no
 * container ends. A container has Docker's OOM score, whatever scores the daemon and the supervisor have.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";
import { parentOf } from "@fathom/base/testing";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("place");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon?.close(), 60_000);

const cgroupsOf = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/cgroup`, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(":").slice(2).join(":"));
const scoreOf = (pid: number | string): string => readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim();

/** Tests whether CAP_SYS_RESOURCE works: a container or a small host may not have it. */
function mayLowerScores(): boolean {
  return Bun.spawnSync(["sh", "-c", "echo -1 >/proc/self/oom_score_adj"], { stderr: "ignore" }).exitCode === 0;
}

test("supervisors leave the daemon's cgroup, and their own cgroup is removed with the last of them", async () => {
  daemon.docker("run", "-d", "--name", "web", "--stop-timeout", "1", daemon.image, "sleep", "1000");
  const supervisor = parentOf(daemon.pidOf("web"));
  const home = `${daemon.cgroupParent}/supervisors`;
  await until("it has moved", () => cgroupsOf(supervisor).every((path) => path.endsWith(home)));
  expect(cgroupsOf(daemon.pidOf("web")).some((path) => path.includes("supervisors"))).toBe(false);
  expect(scoreOf(supervisor)).toBe(mayLowerScores() ? "-998" : scoreOf(daemon.pid));
}, 60_000);

test("ending every process of the daemon's cgroup ends no container", async () => {
  const pid = daemon.pidOf("web");
  // Through the hierarchy that a service manager uses. On a machine where the daemon shares its cgroup with others, only its own processes are
  // ended.
  const own = readFileSync(`/proc/${daemon.pid}/cgroup`, "utf8");
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const sameCgroup = processes.filter((name) => {
    try {
      return readFileSync(`/proc/${name}/cgroup`, "utf8") === own && ancestorOf(Number(name), daemon.pid);
    } catch {
      return false;
    }
  });
  expect(sameCgroup).toContain(String(daemon.pid));
  for (const name of sameCgroup) if (Number(name) !== daemon.pid) process.kill(Number(name), "SIGKILL");
  await daemon.kill();
  await daemon.start();
  expect(daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "web")).toBe(`running ${pid}`);
  expect(daemon.docker("exec", "web", "echo", "here")).toBe("here");
}, 60_000);

function ancestorOf(pid: number, ancestor: number): boolean {
  for (let at = pid; at > 1; at = parentOf(at)) if (at === ancestor) return true;
  return false;
}

test("a container and its execs have the requested score, not the daemon's", async () => {
  // The opposite of the unit's setting: raising the score needs no right.
  writeFileSync(`/proc/${daemon.pid}/oom_score_adj`, "77");
  daemon.docker("run", "-d", "--name", "plain", "--stop-timeout", "1", daemon.image, "sleep", "1000");
  daemon.docker(
    "run",
    "-d",
    "--name",
    "asked",
    "--oom-score-adj",
    "300",
    "--stop-timeout",
    "1",
    daemon.image,
    "sleep",
    "1000",
  );
  expect(scoreOf(daemon.pidOf("plain"))).toBe("0");
  expect(scoreOf(daemon.pidOf("asked"))).toBe("300");
  for (const [name, score] of [
    ["plain", "0"],
    ["asked", "300"],
  ])
    expect(daemon.docker("exec", name!, "cat", "/proc/self/oom_score_adj")).toBe(score!);
}, 60_000);

test("a daemon that ends with its containers leaves no cgroup of supervisors", async () => {
  await daemon.stop();
  const left = readdirSync("/sys/fs/cgroup", { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
    .concat("")
    .map((name) => join("/sys/fs/cgroup", name, daemon.cgroupParent, "supervisors"))
    .filter((path) => existsSync(path));
  expect(left).toEqual([]);
  await daemon.start();
}, 60_000);
