/** What one sample of a row does with an engine, and what it measures. */
import { resolve } from "node:path";
import type { Contender, Sides } from "./row.ts";
import { ApiClient } from "./api-client.ts";
import { allAtOnceMs, type Environment, parentOf, processTree, programOf, pssKiB, run, runMs } from "./measure.ts";
import { type Engine, REGISTRY } from "./engines.ts";
import { between, boolean, decodeDocument, exact, list } from "@fathom/spec";

export const IMAGE = `${REGISTRY}/alpine:latest`;
const BIG_IMAGE = `${REGISTRY}/bench-big:latest`;
export const MANY = 20;

let counter = 0;
/** A container name that no other sample uses. */
const freshName = (): string => `bench-${(counter += 1)}`;

/** One contender for each available engine: the docker CLI with that engine. */
export function throughDocker(sides: Sides, sample: (engine: Engine) => number | Promise<number>): Contender[] {
  return sides.engines.map((engine) => ({ name: engine.name, sample: () => sample(engine) }));
}

export function timed(...args: string[]): (engine: Engine) => number {
  return (engine) => runMs(["docker", ...args], engine.env);
}

/** Starts `count` idle containers with the docker CLI; returns their names. */
export function startMany(engine: Engine, count: number): string[] {
  return Array.from({ length: count }, () => {
    const name = freshName();
    run(["docker", "run", "-d", "--name", name, IMAGE, "sleep", "100000"], engine.env);
    return name;
  });
}

export const remove = (names: readonly string[], env: Environment): string =>
  run(["docker", "rm", "-f", ...names], env);

const NETWORK = "bench-names";

/** A container in a network that is made for it; others find it by its name. */
export function startNamed(engine: Engine): string {
  run(["docker", "network", "create", NETWORK], engine.env);
  const name = freshName();
  run(["docker", "run", "-d", "--name", name, "--network", NETWORK, IMAGE, "sleep", "100000"], engine.env);
  return name;
}

export function removeNamed(engine: Engine, name: string): void {
  remove([name], engine.env);
  run(["docker", "network", "rm", NETWORK], engine.env);
}

/** @returns milliseconds for all `questions` about the container's own name, and those within which 99 of 100 answers came */
export function askNames(
  engine: Engine,
  name: string,
  questions: number,
  clients: number,
): { whole: number; p99: number } {
  const [pid] = firstProcesses(engine, [name]);
  const program = resolve(import.meta.dir, "../../build/ask-names");
  const said = run(["nsenter", `--net=/proc/${pid}/ns/net`, program, name, `${questions}`, `${clients}`]);
  const [whole, p99] = said.trim().split(" ").map(Number);
  return { whole: whole!, p99: p99! };
}

interface Inspected {
  readonly State: { readonly Pid: number; readonly Running: boolean };
}
/** A container that has ended has no process: its Pid is 0. */
const inspected = list(
  exact<Inspected>({
    State: exact<Inspected["State"]>({ Pid: between(1, Number.MAX_SAFE_INTEGER), Running: boolean }),
  }),
);

/** First processes of running containers, from inspect. */
export function firstProcesses(engine: Engine, names: readonly string[]): number[] {
  const text = run(["docker", "inspect", ...names], engine.env);
  return decodeDocument(inspected, JSON.parse(text), "docker inspect").map(({ State }, index) => {
    if (!State.Running) throw new Error(`${names[index]} is not running`);
    return State.Pid;
  });
}

/**
 * MB of all processes of an engine: the daemon, the processes that it started, and the processes that keep `containers` running, without the
 * containers themselves.
 */
export function engineMegabytes(engine: Engine, containers: readonly number[]): number {
  const own = new Set([...processTree(engine.pid), ...containers.map(parentOf)]);
  for (const pid of containers) for (const inner of processTree(pid)) own.delete(inner);
  // The registry and nsenter belong to the bench.
  return [...own].filter((pid) => programOf(pid) !== "nsenter").reduce((sum, pid) => sum + pssKiB(pid), 0) / 1024;
}

export async function apiRun(client: ApiClient): Promise<number> {
  const start = performance.now();
  const id = await client.create({ Image: IMAGE, Cmd: ["true"], HostConfig: { NetworkMode: "none" } });
  await client.call("POST", `/containers/${id}/start`);
  // Not next-exit: the container could have exited before the request arrives.
  await client.call("POST", `/containers/${id}/wait?condition=not-running`);
  const time = performance.now() - start;
  await client.call("DELETE", `/containers/${id}`);
  return time;
}

export async function startAtOnce(engine: Engine): Promise<number> {
  const clients = Array.from({ length: MANY }, () => new ApiClient(engine));
  const ids: string[] = [];
  for (const client of clients) ids.push(await client.create({ Image: IMAGE, Cmd: ["sleep", "100000"] }));
  const start = performance.now();
  await Promise.all(clients.map((client, index) => client.call("POST", `/containers/${ids[index]}/start`)));
  const time = performance.now() - start;
  firstProcesses(engine, ids);
  remove(ids, engine.env);
  for (const client of clients) client[Symbol.dispose]();
  return time;
}

export async function runAtOnce(engine: Engine): Promise<number> {
  const names = Array.from({ length: MANY }, freshName);
  const commands = names.map((name) => ["docker", "run", "-d", "--name", name, IMAGE, "sleep", "100000"]);
  const time = await allAtOnceMs(commands, engine.env);
  firstProcesses(engine, names);
  remove(names, engine.env);
  return time;
}

/** How long an engine waits until it counts as idle. */
export const quietMs = 5000;

/** For a minute after a file was deleted, ext4 does not use its inode again, and passes over all such inodes to find another. */
const inodeRestMs = 61_000;

export async function pull(engine: Engine, layers: number): Promise<number> {
  const start = performance.now();
  const output = run(["docker", "pull", BIG_IMAGE], engine.env);
  const time = performance.now() - start;
  const fetched = output.match(/: Pull complete$/gm)?.length ?? 0;
  // Otherwise the row would measure the pull of an image that is already there.
  if (fetched !== layers) throw new Error(`only ${fetched} of ${layers} layers were pulled`);
  run(["docker", "rmi", BIG_IMAGE], engine.env);
  run(["sync"]);
  await Bun.sleep(inodeRestMs);
  return time;
}
