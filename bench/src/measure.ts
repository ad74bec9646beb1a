/** Measurements: the time of programs by the clock, and memory by the kernel's own counters. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) throw new Error("median of nothing");
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Milliseconds from start to end of `action`. */
export async function timeMs(action: () => unknown): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

/** Nothing here takes longer than this. A program that does has hung. */
const LONGEST_MS = 300_000;

export type Environment = Readonly<Record<string, string>>;

/** Runs a program to its end and returns its output. When it fails, throws with its error output. */
export function run(command: readonly string[], env: Environment = {}): string {
  const child = Bun.spawnSync([...command], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: LONGEST_MS,
    killSignal: "SIGKILL",
  });
  if (child.exitCode !== 0)
    throw new Error(`${command.join(" ").slice(0, 200)}: status ${child.exitCode}: ${child.stderr.toString().trim()}`);
  return child.stdout.toString();
}

/** Milliseconds of one run of a program whose output is ignored. */
export function runMs(command: readonly string[], env: Environment = {}): number {
  const start = performance.now();
  run(command, env);
  return performance.now() - start;
}

/** Starts all commands at once. Returns the milliseconds until the last one has ended successfully. */
export async function allAtOnceMs(commands: readonly (readonly string[])[], env: Environment): Promise<number> {
  const start = performance.now();
  const codes = await Promise.all(
    commands.map((command) => {
      const options = { env: { ...process.env, ...env }, stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
      return Bun.spawn([...command], options).exited;
    }),
  );
  const end = performance.now();
  const bad = codes.filter((code) => code !== 0).length;
  if (bad > 0) throw new Error(`${bad} of ${codes.length} commands failed: ${commands[0]?.join(" ")}`);
  return end - start;
}

function field(path: string, name: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const match = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text);
  return match ? Number(match[1]) : undefined;
}

/** Proportional set size in KiB: the memory of a process, where each shared page counts by the process's share. 0 for a process that has ended. */
export function pssKiB(pid: number): number {
  return field(`/proc/${pid}/smaps_rollup`, "Pss") ?? 0;
}

export function parentOf(pid: number): number {
  return field(`/proc/${pid}/status`, "PPid") ?? 0;
}

/** A process and all its descendants. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const parent = parentOf(pid);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found: number[] = [];
  const visit = (pid: number): void => {
    found.push(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  visit(root);
  return found;
}

/** Name of the program that a process executes; empty when the process has ended. */
export function programOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`).split("/").at(-1) ?? "";
  } catch {
    return "";
  }
}
