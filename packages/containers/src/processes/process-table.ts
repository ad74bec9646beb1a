/**
 * The table of `docker top`: what ps(1) of procps prints for the usual arguments, read from /proc for the container's own pids only.
 * Docker runs the host's ps over all processes and filters; this needs no program and reads no other process.
 *
 * How many processes there are, how long their command lines and how nested their cgroups, the container decides; a read of one can wait for
 * what that one does. So the table is made in a thread of its own (process-listing.ts), up to limits, and says where it was cut.
 *
 * Understood: `-ef`, `-e`, `-f`, `-A`, `a`, `u`, `x`, `-aux`, `-o LIST`, `-eo LIST`, `axo LIST`, `--format LIST`. Anything else is an error that names it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { EngineError } from "@fathom/base";
import { parseArguments } from "./ps-arguments.ts";
import { readEnvironment, readProcess } from "./read-process.ts";

/** Which processes: those given, or those of a cgroup and all below it. */
export type ProcessSource =
  | { readonly kind: "pids"; readonly pids: readonly number[] }
  | { readonly kind: "cgroup"; readonly directory: string };

export interface TableLimits {
  readonly processes: number;
  readonly cgroups: number;
  /** Of all command lines together. */
  readonly argumentBytes: number;
  readonly ms: number;
}

const tableLimits: TableLimits = { processes: 10_000, cgroups: 1_000, argumentBytes: 16 << 20, ms: 3_000 };
export interface ProcessTable {
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * Where a limit cuts the table, its last row has "-" in each column and says so in the last one.
 * @param psArguments As the client gave them; "" means "-ef".
 * @throws invalid-argument for what is not understood, or when the PID column is missing
 */
export function listProcesses(
  source: ProcessSource,
  psArguments: string,
  limits: TableLimits = tableLimits,
): ProcessTable {
  const chosen = parseArguments(psArguments.trim() === "" ? "-ef" : psArguments.trim());
  if (!chosen.some((column) => column.title === "PID"))
    throw new EngineError("invalid-argument", "Couldn't find PID field in ps output");
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

/** Pids of a cgroup and those below. A container may make its own. */
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
      // Gone meanwhile, or threaded: its processes are listed above it.
    }
    try {
      for (const entry of readdirSync(own, { withFileTypes: true }))
        if (entry.isDirectory() && waiting.length < limits.cgroups) waiting.push(`${own}/${entry.name}`);
    } catch {
      // Gone meanwhile.
    }
  }
  return { pids, isWhole: true };
}
