/** What /proc says about one process, for the table of `docker top`. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { parseProcessStat } from "@fathom/sys";

/** The data of one process. Times are in seconds. */
export interface Process {
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

/** Additional data that the columns need. */
export interface Environment {
  readonly now: number;
  readonly memTotalKib: number;
  userName(uid: number): string;
  groupName(gid: number): string;
}

/** At most this much of a command line is read, as ps(1) shows. */
const longestArguments = 128 << 10;

/** Fixed by the Linux user ABI on every architecture: USER_HZ. */
const ticksPerSecond = 100;
const pageKib = 4;

/** undefined for a process that has ended. Fields: proc(5), /proc/PID/stat and status. */
export function readProcess(pid: number): Process | undefined {
  try {
    const { name: comm, state, field } = parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
    const number = (position: number): number => Number(field(position));
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const effective = (key: string): number =>
      Number(new RegExp(`^${key}:\\t\\d+\\t(\\d+)`, "m").exec(status)?.[1] ?? 0);
    const commandLine = readStart(`/proc/${pid}/cmdline`, longestArguments).replace(/\0+$/, "").replaceAll("\0", " ");
    return {
      pid,
      ppid: number(4),
      processGroup: number(5),
      session: number(6),
      ttyNumber: number(7),
      foregroundGroup: number(8),
      state,
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

export function readEnvironment(): Environment {
  const total = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "latin1"))?.[1] ?? 1);
  const users = new Map<number, string>();
  const groups = new Map<number, string>();
  readNames("/etc/passwd", users);
  readNames("/etc/group", groups);
  // When a name does not fit into its column, ps shows the number.
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
