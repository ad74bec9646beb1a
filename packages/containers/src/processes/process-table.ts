/**
 * The table of `docker top`: what ps(1) of procps prints for the usual arguments, read from /proc only for the container's own pids. Docker
 * runs the host's ps for all processes and filters its output; this needs no program and reads no other process.
 *
 * The container decides how many processes there are, how long their command lines are and how deep its cgroups are. Reading a process may wait
 * for what that process does. So a separate thread makes the table (process-listing.ts), with limits, and the table says where it was cut.
 *
 * Supported: `-ef`, `-e`, `-f`, `-A`, `a`, `u`, `x`, `-aux`, `-o LIST`, `-eo LIST`, `axo LIST`, `--format LIST`. For anything else the error
 * names it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { columns } from "./ps-columns.ts";
import { readEnvironment, readProcess } from "./read-process.ts";

/** Which processes: the given ones, or those of a cgroup and all cgroups below it. */
export type ProcessSource =
  | { readonly kind: "pids"; readonly pids: readonly number[] }
  | { readonly kind: "cgroup"; readonly directory: string };

export interface TableLimits {
  readonly processes: number;
  readonly cgroups: number;
  /** For all command lines together. */
  readonly argumentBytes: number;
  readonly ms: number;
}

const tableLimits: TableLimits = { processes: 10_000, cgroups: 1_000, argumentBytes: 16 << 20, ms: 3_000 };
export interface ProcessTable {
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * When a limit cuts the table, its last row has "-" in each column and the reason in the last one.
 * @param columnNames From `parseArguments`.
 */
export function listProcesses(
  source: ProcessSource,
  columnNames: readonly string[],
  limits: TableLimits = tableLimits,
): ProcessTable {
  const chosen = columnNames.flatMap((name) => columns[name] ?? []);
  const deadline = performance.now() + limits.ms;
  const environment = readEnvironment();
  const rows: string[][] = [];
  let argumentBytes = 0;
  const { pids, isWhole } = source.kind === "pids" ? { pids: source.pids, isWhole: true } : pidsBelow(source, limits);
  const reached = (): string | undefined => {
    if (rows.length >= limits.processes) return `there are more than ${limits.processes} processes`;
    if (argumentBytes > limits.argumentBytes) return `the command lines are longer than ${limits.argumentBytes} bytes`;
    return performance.now() > deadline ? `not all could be read within ${limits.ms} ms` : undefined;
  };
  let cut = isWhole ? undefined : `there are more than ${limits.cgroups} cgroups`;
  for (const pid of [...new Set(pids)].sort((a, b) => a - b)) {
    const limit = reached();
    if (limit !== undefined) {
      cut = limit;
      break;
    }
    const process = readProcess(pid);
    if (process === undefined) continue;
    argumentBytes += process.args.length;
    rows.push(chosen.map((column) => column.value(process, environment)));
  }
  if (cut !== undefined)
    rows.push(chosen.map((_, index) => (index < chosen.length - 1 ? "-" : `(the table is cut: ${cut})`)));
  return { titles: chosen.map((column) => column.title), rows };
}

/** Pids of a cgroup and the cgroups below it. A container may make its own cgroups. */
function pidsBelow(
  { directory }: Extract<ProcessSource, { kind: "cgroup" }>,
  limits: TableLimits,
): { pids: number[]; isWhole: boolean } {
  const pids: number[] = [];
  const waiting = [directory];
  for (let seen = 0; waiting.length > 0; seen++) {
    if (seen >= limits.cgroups) return { pids, isWhole: false };
    const own = waiting.shift()!;
    try {
      for (const line of readFileSync(`${own}/cgroup.procs`, "latin1").split("\n"))
        if (line !== "" && line !== "0") pids.push(Number(line));
    } catch {
      // It was removed meanwhile, or it is threaded: then its processes are listed in the cgroup above it.
    }
    try {
      for (const entry of readdirSync(own, { withFileTypes: true }))
        if (entry.isDirectory() && waiting.length < limits.cgroups) waiting.push(`${own}/${entry.name}`);
    } catch {
      // It has ended meanwhile.
    }
  }
  return { pids, isWhole: true };
}
