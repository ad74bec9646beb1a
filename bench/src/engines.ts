/**
 * The engines side by side. Each has its own network namespace, state directory and socket, and its own docker-registry on its loopback, with
 * the same storage for all. So they do not see or disturb each other, or an engine that already runs on this machine.
 */
import {
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { decodeDocument, exact, text } from "@fathom/spec";
import { type Environment, run } from "./measure.ts";

export const REGISTRY = "127.0.0.1:5000";

/** The engine that fathom is compared with: Docker, or another build of fathom ("before"). */
export type Peer = "dockerd" | "before";

export interface Engine {
  readonly name: "fathom" | Peer;
  readonly version: string;
  readonly socket: string;
  /** Process id of the daemon itself. */
  readonly pid: number;
  /** The address for the docker CLI and for fathom's CLI. */
  readonly env: Environment;
  stop(): Promise<void>;
}

const versionAnswer = exact<{ readonly Version: string }>({ Version: text });

async function until(what: string, limitMs: number, ready: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + limitMs;
  while (performance.now() < end) {
    if (await ready()) return;
    await Bun.sleep(20);
  }
  throw new Error(`${what}: not ready after ${limitMs / 1000} s`);
}

/** Ends a child process of ours: first with SIGTERM, then with SIGKILL. */
async function end(child: Subprocess, limitMs: number): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  await child.exited;
  clearTimeout(timer);
}

async function answers(url: string, socket?: string): Promise<boolean> {
  try {
    const options = socket === undefined ? {} : { unix: socket };
    return (await fetch(url, { ...options, signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}

/** Removes our empty cgroups, in every hierarchy. */
export function removeCgroups(name: string): void {
  const tops = ["/sys/fs/cgroup", ...readdirSync("/sys/fs/cgroup").map((entry) => `/sys/fs/cgroup/${entry}`)];
  for (const top of tops) {
    const path = join(top, name);
    if (!existsSync(path)) continue;
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    for (const child of below) removeCgroups(join(name, child.name));
    try {
      rmdirSync(path);
    } catch {
      // Still in use. Whatever uses it reports that.
    }
  }
}

export interface EnginePlan {
  readonly name: Engine["name"];
  /** The daemon's program and its first arguments. */
  readonly command: readonly string[];
  /** Directory for all files of this engine. */
  readonly directory: string;
  readonly registryRoot: string;
}

/** Starts one engine and its registry. When a later step fails, everything that was started is stopped again. */
export async function startEngine(plan: EnginePlan): Promise<Engine> {
  const space = `fathom-bench-${plan.name}-${process.pid}`;
  const cgroup = `fathom/bench-${plan.name}-${process.pid}`;
  const inside = (command: readonly string[]): string[] => ["nsenter", `--net=/run/netns/${space}`, "--", ...command];
  const undo: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of undo.toReversed().splice(0)) await step();
    undo.length = 0;
  };
  try {
    mkdirSync(plan.directory, { recursive: true });
    run(["ip", "netns", "add", space]);
    undo.push(() => run(["ip", "netns", "delete", space]));
    run(inside(["ip", "link", "set", "lo", "up"]));

    const log = (name: string): number => {
      const fd = openSync(join(plan.directory, name), "a");
      undo.push(() => closeSync(fd));
      return fd;
    };
    const registryConfig = join(plan.directory, "registry.yml");
    writeFileSync(
      registryConfig,
      `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${plan.registryRoot}}}\nhttp: {addr: "${REGISTRY}"}\n`,
    );
    const registryLog = log("registry.log");
    const registry = Bun.spawn(inside(["docker-registry", "serve", registryConfig]), {
      stdin: "ignore",
      stdout: registryLog,
      stderr: registryLog,
    });
    undo.push(() => end(registry, 5000));
    const ping = inside(["curl", "-fs", "-o", "/dev/null", `http://${REGISTRY}/v2/`]);
    await until("docker-registry", 10_000, () => Bun.spawnSync(ping).exitCode === 0);

    const socket = join(plan.directory, "engine.sock");
    const daemonLog = log("daemon.log");
    undo.push(() => removeCgroups(cgroup));
    const daemon = Bun.spawn(
      inside([
        ...plan.command,
        `--host=unix://${socket}`,
        `--data-root=${join(plan.directory, "data")}`,
        `--exec-root=${join(plan.directory, "exec")}`,
        `--pidfile=${join(plan.directory, "pid")}`,
        `--cgroup-parent=/${cgroup}`,
      ]),
      { stdin: "ignore", stdout: daemonLog, stderr: daemonLog, cwd: "/" },
    );
    undo.push(() => end(daemon, 30_000));
    await until(plan.name, 30_000, () => {
      if (daemon.exitCode !== null)
        throw new Error(`${plan.name} ended with ${daemon.exitCode}: ${tail(join(plan.directory, "daemon.log"))}`);
      return answers("http://engine/_ping", socket);
    });
    const answer: unknown = await (await fetch("http://engine/version", { unix: socket })).json();
    const version = decodeDocument(versionAnswer, answer, "the version");
    const config = join(plan.directory, "client");
    mkdirSync(config, { recursive: true });
    const address = `unix://${socket}`;
    return {
      name: plan.name,
      version: version.Version,
      socket,
      pid: daemon.pid,
      env: { DOCKER_HOST: address, FATHOM_HOST: address, DOCKER_CONFIG: config, DOCKER_CLI_HINTS: "false" },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function tail(path: string): string {
  return readFileSync(path, "utf8").trim().split("\n").slice(-5).join("\n");
}
