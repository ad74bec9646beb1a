/**
 * The table of `docker top`: what ps(1) of procps prints for the usual arguments, read from /proc for the container's own pids only.
 * Docker runs the host's ps over all processes and filters; this needs no program and reads no other process.
 *
 * How many processes there are, how long their command lines and how nested their cgroups, the container decides; a read of one can wait for
 * what that one does. So the table is made in a thread of its own (process-listing.ts), up to limits, and says where it was cut.
 *
 * Understood: `-ef`, `-e`, `-f`, `-A`, `a`, `u`, `x`, `-aux`, `-o LIST`, `-eo LIST`, `axo LIST`, `--format LIST`. Anything else is an error that names it.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { EngineError } from "@fathom/base";

/** What is read of one process. Times are seconds. */
interface Process {
  readonly pid: number;
  readonly ppid: number;
  readonly processGroup: number;
  readonly session: number;
  readonly ttyNumber: number;
  readonly state: string;
  readonly foregroundGroup: number;
  readonly nice: number;
  readonly priority: number;
  readonly threads: number;
  readonly processor: number;
  readonly cpuSeconds: number;
  readonly startedAt: number;
  readonly vszKib: number;
  readonly rssKib: number;
  readonly uid: number;
  readonly gid: number;
  readonly lockedKib: number;
  readonly comm: string;
  readonly args: string;
}

/** What the columns need beside the process. */
interface Environment {
  readonly now: number;
  readonly memTotalKib: number;
  userName(uid: number): string;
  groupName(gid: number): string;
}

interface Column {
  readonly title: string;
  readonly value: (process: Process, environment: Environment) => string;
}

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
/** As much of one command line as ps(1) shows at most. */
const longestArguments = 128 << 10;

export interface ProcessTable {
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const columns: Readonly<Record<string, Column>> = buildColumns();
const formatFull = ["uid_name", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
const formatBsd = ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "bsdstart", "bsdtime", "command"];
const formatShort = ["pid", "tty", "time", "cmdshort"];
const formatBsdShort = ["pid", "tty", "stat", "bsdtime", "command"];

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
  const names = parseArguments(psArguments.trim() === "" ? "-ef" : psArguments.trim());
  const chosen = names.map((name) => columns[name]!);
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

/** Names of columns for ps arguments. */
function parseArguments(text: string): readonly string[] {
  const words = text.split(/\s+/);
  const formats: string[] = [];
  let full = false;
  let bsd = false;
  let bsdUser = false;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const long = /^--format(?:=(.*))?$/.exec(word);
    if (long) {
      formats.push(long[1] ?? words[++i] ?? "");
      continue;
    }
    if (word.startsWith("--") || word === "-") throw unsupported(word);
    const dashed = word.startsWith("-");
    const letters = dashed ? word.slice(1) : word;
    for (let k = 0; k < letters.length; k++) {
      const letter = letters[k]!;
      if (letter === "o") {
        const rest = letters.slice(k + 1);
        formats.push(rest === "" ? (words[++i] ?? "") : rest);
        break;
      }
      if ("eAawxN".includes(letter)) bsd ||= !dashed;
      else if (letter === "f" && dashed) full = true;
      else if (letter === "u") bsdUser = true;
      else if (letter === "f") continue;
      else throw unsupported(word);
    }
  }
  if (formats.length > 0) return formats.flatMap((format) => format.split(",")).map(parseColumn);
  if (bsdUser) return formatBsd;
  if (full) return formatFull;
  return bsd ? formatBsdShort : formatShort;
}

function parseColumn(name: string): string {
  const key = name.toLowerCase();
  // A title of the user's own (pid=X) could make another column look like the PID.
  if (name === "" || !Object.hasOwn(columns, key))
    throw new EngineError(
      "invalid-argument",
      `ps: error: unknown user-defined format specifier ${JSON.stringify(name)}`,
    );
  return key;
}

function unsupported(word: string): EngineError {
  return new EngineError(
    "invalid-argument",
    `ps: unsupported option ${JSON.stringify(word)}: -e, -f, -o LIST and the forms ef, aux and axo LIST are supported`,
  );
}

function buildColumns(): Record<string, Column> {
  const all: Record<string, Column> = {};
  const add = (names: string, title: string, value: Column["value"]): void => {
    for (const name of names.split(" ")) all[name] = { title, value };
  };
  add("pid tgid", "PID", (p) => String(p.pid));
  add("ppid", "PPID", (p) => String(p.ppid));
  add("pgid pgrp", "PGID", (p) => String(p.processGroup));
  add("sid sess session", "SID", (p) => String(p.session));
  add("uid_name", "UID", (p, e) => e.userName(p.uid));
  add("uid euid", "UID", (p) => String(p.uid));
  add("gid egid", "GID", (p) => String(p.gid));
  add("user euser uname", "USER", (p, e) => e.userName(p.uid));
  add("ruser", "RUSER", (p, e) => e.userName(p.uid));
  add("group egroup", "GROUP", (p, e) => e.groupName(p.gid));
  add("comm ucmd ucomm", "COMMAND", (p) => p.comm);
  add("args command", "COMMAND", (p) => p.args);
  add("cmd", "CMD", (p) => p.args);
  add("cmdshort", "CMD", (p) => p.comm);
  add("tty tt tname", "TTY", (p) => ttyName(p.ttyNumber));
  all["tt"] = { ...all["tt"]!, title: "TT" };
  add("time cputime", "TIME", (p) => clockTime(p.cpuSeconds));
  add("bsdtime", "TIME", (p) => `${Math.floor(p.cpuSeconds / 60)}:${pad(Math.floor(p.cpuSeconds) % 60)}`);
  add("etime", "ELAPSED", (p, e) => elapsed(e.now - p.startedAt));
  add("etimes", "ELAPSED", (p, e) => String(Math.max(0, Math.floor(e.now - p.startedAt))));
  add("stime start_time", "STIME", (p, e) => startTime(p.startedAt, e.now));
  all["start_time"] = { ...all["start_time"]!, title: "START" };
  add("bsdstart start", "START", (p, e) => startTime(p.startedAt, e.now));
  add("lstart", "STARTED", (p) => longTime(p.startedAt));
  add("s state", "S", (p) => p.state);
  add("stat", "STAT", stat);
  add("rss rssize rsz", "RSS", (p) => String(p.rssKib));
  add("vsz vsize", "VSZ", (p) => String(p.vszKib));
  add("pcpu %cpu", "%CPU", (p, e) => percentCpu(p, e).toFixed(1));
  add("c cp", "C", (p, e) => String(Math.min(99, Math.floor(percentCpu(p, e)))));
  add("pmem %mem", "%MEM", (p, e) => ((p.rssKib / e.memTotalKib) * 100).toFixed(1));
  add("ni nice", "NI", (p) => String(p.nice));
  add("pri", "PRI", (p) => String(39 - p.priority));
  add("nlwp thcount", "NLWP", (p) => String(p.threads));
  add("psr", "PSR", (p) => String(p.processor));
  return all;
}

function percentCpu(process: Process, environment: Environment): number {
  const age = environment.now - process.startedAt;
  return age <= 0 ? 0 : (process.cpuSeconds / age) * 100;
}

function stat(p: Process): string {
  return (
    p.state +
    (p.nice < 0 ? "<" : p.nice > 0 ? "N" : "") +
    (p.lockedKib > 0 ? "L" : "") +
    (p.session === p.pid ? "s" : "") +
    (p.threads > 1 ? "l" : "") +
    (p.foregroundGroup === p.processGroup ? "+" : "")
  );
}

const pad = (n: number): string => String(n).padStart(2, "0");

function clockTime(seconds: number): string {
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86400);
  return `${days > 0 ? `${days}-` : ""}${pad(Math.floor(whole / 3600) % 24)}:${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
}

function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const head = days > 0 ? `${days}-${pad(hours)}:` : hours > 0 ? `${pad(hours)}:` : "";
  return `${head}${pad(Math.floor(whole / 60) % 60)}:${pad(whole % 60)}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** Hour and minute of today, else month and day, else the year. */
function startTime(startedAt: number, now: number): string {
  const start = new Date(startedAt * 1000);
  const today = new Date(now * 1000);
  if (start.toDateString() === today.toDateString()) return `${pad(start.getHours())}:${pad(start.getMinutes())}`;
  if (start.getFullYear() === today.getFullYear()) return `${months[start.getMonth()]}${pad(start.getDate())}`;
  return String(start.getFullYear());
}

function longTime(startedAt: number): string {
  const d = new Date(startedAt * 1000);
  const day = String(d.getDate()).padStart(2, " ");
  return `${weekdays[d.getDay()]} ${months[d.getMonth()]} ${day} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())} ${d.getFullYear()}`;
}

/** Device number of /proc/PID/stat as a name below /dev. */
function ttyName(number: number): string {
  if (number === 0) return "?";
  const major = (number >> 8) & 0xfff;
  const minor = (number & 0xff) | ((number >> 12) & 0xfff00);
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`;
  if (major === 4) return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`;
  return major === 5 && minor === 1 ? "console" : "?";
}

/** Fixed by the Linux user ABI on every architecture: USER_HZ. */
const ticksPerSecond = 100;
const pageKib = 4;

/** undefined for a process that is gone. Fields: proc(5), /proc/PID/stat and status. */
function readProcess(pid: number): Process | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name may hold spaces and parentheses: it ends at the last one.
    const end = text.lastIndexOf(")");
    const fields = text.slice(end + 2).split(" ");
    const number = (position: number): number => Number(fields[position - 3]);
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const effective = (key: string): number =>
      Number(new RegExp(`^${key}:\\t\\d+\\t(\\d+)`, "m").exec(status)?.[1] ?? 0);
    const comm = text.slice(text.indexOf("(") + 1, end);
    const commandLine = readStart(`/proc/${pid}/cmdline`, longestArguments).replace(/\0+$/, "").replaceAll("\0", " ");
    return {
      pid,
      ppid: number(4),
      processGroup: number(5),
      session: number(6),
      ttyNumber: number(7),
      foregroundGroup: number(8),
      state: fields[0]!,
      cpuSeconds: (number(14) + number(15)) / ticksPerSecond,
      priority: number(18),
      nice: number(19),
      threads: number(20),
      startedAt: bootTime() + number(22) / ticksPerSecond,
      vszKib: Math.floor(number(23) / 1024),
      rssKib: number(24) * pageKib,
      processor: number(39),
      uid: effective("Uid"),
      gid: effective("Gid"),
      lockedKib: Number(/^VmLck:\s+(\d+)/m.exec(status)?.[1] ?? 0),
      comm,
      args: commandLine === "" ? `[${comm}]` : commandLine.replaceAll("\n", "?"),
    };
  } catch {
    return undefined;
  }
}

let startBuffer: Buffer | undefined;
function readStart(path: string, limit: number): string {
  const buffer = (startBuffer ??= Buffer.alloc(limit));
  const fd = openSync(path, "r");
  try {
    let length = 0;
    for (let count = -1; count !== 0 && length < limit; length += count)
      count = readSync(fd, buffer, length, limit - length, null);
    return buffer.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}

let bootSeconds: number | undefined;
function bootTime(): number {
  return (bootSeconds ??= Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "latin1"))?.[1] ?? 0));
}

function readEnvironment(): Environment {
  const total = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 1);
  const users = new Map<number, string>();
  const groups = new Map<number, string>();
  readNames("/etc/passwd", users);
  readNames("/etc/group", groups);
  // ps shows a name that does not fit into its column as the number.
  const fit = (name: string | undefined, id: number): string =>
    name === undefined || name.length > 32 ? String(id) : name;
  return {
    now: Date.now() / 1000,
    memTotalKib: total,
    userName: (uid) => fit(users.get(uid), uid),
    groupName: (gid) => fit(groups.get(gid), gid),
  };
}

function readNames(path: string, into: Map<number, string>): void {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return;
  }
  for (const line of text.split("\n")) {
    const [name, , id] = line.split(":");
    if (name !== undefined && id !== undefined && !into.has(Number(id))) into.set(Number(id), name);
  }
}
