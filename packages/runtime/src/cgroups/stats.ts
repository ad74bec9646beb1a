/** What a cgroup has used, read from v1 and v2 files. Sources: kernel cgroup-v1/*.rst, cgroup-v2.rst. */
import type { CgroupStats, IoCount } from "./contract.ts";
import type { CgroupFileSystem } from "./filesystem.ts";
import type { ControllerPlace, Places } from "./limits.ts";

/** The number that v1 prints for "no limit": the largest page-aligned signed 64-bit value. */
const unlimited = Number.MAX_SAFE_INTEGER;

export function readStats(fs: CgroupFileSystem, places: Places): CgroupStats {
  const read = (place: ControllerPlace | undefined, file: string): string => {
    if (place === undefined) return "";
    try {
      return fs.read(`${place.directory}/${file}`);
    } catch {
      // This kernel does not have the file, or the cgroup is being removed: nothing to count.
      return "";
    }
  };
  return {
    ...readMemory(places.get("memory"), read),
    ...readCpu(places, read),
    ...readPids(places.get("pids"), read),
    oomKills: readOomKills(fs, places),
    io: readIo(places, read, "bytes"),
    ioRequests: readIo(places, read, "ios"),
  };
}

type Read = (place: ControllerPlace | undefined, file: string) => string;

function readMemory(
  place: ControllerPlace | undefined,
  read: Read,
): Pick<CgroupStats, "memoryUsageBytes" | "memoryLimitBytes" | "memoryPeakBytes" | "memoryFailures" | "memoryStat"> {
  const first = place?.version === 1;
  return {
    memoryUsageBytes: toNumber(read(place, first ? "memory.usage_in_bytes" : "memory.current")) ?? 0,
    memoryLimitBytes: toNumber(read(place, first ? "memory.limit_in_bytes" : "memory.max")) ?? unlimited,
    memoryPeakBytes: toNumber(read(place, first ? "memory.max_usage_in_bytes" : "memory.peak")),
    memoryFailures: first
      ? (toNumber(read(place, "memory.failcnt")) ?? 0)
      : Number(readPairs(read(place, "memory.events")).get("oom") ?? 0n),
    memoryStat: Object.fromEntries(
      [...readPairs(read(place, "memory.stat"))].map(([key, value]) => [key, Number(value)]),
    ),
  };
}

type CpuStats = Pick<
  CgroupStats,
  "cpuUsageNs" | "cpuUserNs" | "cpuSystemNs" | "cpuUsagePerCpuNs" | "throttledPeriods" | "periods" | "throttledNs"
>;

function readCpu(places: Places, read: Read): CpuStats {
  const cpu = places.get("cpu");
  const statistics = readPairs(read(cpu, "cpu.stat"));
  const periods = {
    periods: Number(statistics.get("nr_periods") ?? 0n),
    throttledPeriods: Number(statistics.get("nr_throttled") ?? 0n),
  };
  if (cpu?.version === 2) {
    const microseconds = (key: string): bigint => (statistics.get(key) ?? 0n) * 1000n;
    return {
      ...periods,
      cpuUsageNs: microseconds("usage_usec"),
      cpuUserNs: microseconds("user_usec"),
      cpuSystemNs: microseconds("system_usec"),
      cpuUsagePerCpuNs: [],
      throttledNs: microseconds("throttled_usec"),
    };
  }
  const account = places.get("cpuacct");
  return {
    ...periods,
    cpuUsageNs: toBigint(read(account, "cpuacct.usage")),
    cpuUserNs: toBigint(read(account, "cpuacct.usage_user")),
    cpuSystemNs: toBigint(read(account, "cpuacct.usage_sys")),
    cpuUsagePerCpuNs: read(account, "cpuacct.usage_percpu").trim().split(" ").filter(Boolean).map(toBigint),
    throttledNs: statistics.get("throttled_time") ?? 0n,
  };
}

function readPids(place: ControllerPlace | undefined, read: Read): Pick<CgroupStats, "pids" | "pidsLimit"> {
  return { pids: toNumber(read(place, "pids.current")) ?? 0, pidsLimit: toNumber(read(place, "pids.max")) ?? 0 };
}

/** v1 counts in memory.oom_control, v2 in memory.events. Both counts are final when the killed process has been reaped. */
export function readOomKills(fs: CgroupFileSystem, places: Places): number {
  const place = places.get("memory");
  if (place === undefined) return 0;
  try {
    const text = fs.read(`${place.directory}/${place.version === 1 ? "memory.oom_control" : "memory.events"}`);
    return Number(readPairs(text).get("oom_kill") ?? 0n);
  } catch {
    return 0;
  }
}

/** What of io.stat is counted: "rbytes=" and "wbytes=", or "rios=" and "wios=". */
type IoUnit = "bytes" | "ios";

const firstIoFiles: Readonly<Record<IoUnit, readonly string[]>> = {
  bytes: ["blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"],
  ios: ["blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"],
};

function readIo(places: Places, read: Read, unit: IoUnit): readonly IoCount[] {
  const unified = places.get("io");
  if (unified !== undefined) return parseUnifiedIo(read(unified, "io.stat"), unit);
  const place = places.get("blkio");
  for (const file of firstIoFiles[unit]) {
    const entries = parseFirstIo(read(place, file));
    if (entries.length > 0) return entries;
  }
  return [];
}

/** "8:0 rbytes=90112 wbytes=0 rios=3 wios=0 …" */
function parseUnifiedIo(text: string, unit: IoUnit): IoCount[] {
  const counter = unit === "bytes" ? /\b([rw])bytes=(\d+)/g : /\b([rw])ios=(\d+)/g;
  return text.split("\n").flatMap((line) => {
    const device = /^(\d+):(\d+) /.exec(line);
    if (!device) return [];
    return [...line.matchAll(counter)].map(([, kind, value]) => ({
      major: Number(device[1]),
      minor: Number(device[2]),
      op: kind === "r" ? "read" : "write",
      value: BigInt(value ?? "0"),
    }));
  });
}

/** "8:0 Read 90112", one line per operation. */
function parseFirstIo(text: string): IoCount[] {
  return [...text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)].map(([, major, minor, op, value]) => ({
    major: Number(major),
    minor: Number(minor),
    op: op ?? "",
    value: BigInt(value ?? "0"),
  }));
}

/** Lines of "key value". */
function readPairs(text: string): Map<string, bigint> {
  return new Map([...text.matchAll(/^(\S+) (\d+)$/gm)].map(([, key, value]) => [key ?? "", BigInt(value ?? "0")]));
}

/** undefined for "max", for an empty text, and for v1's number for "no limit". */
function toNumber(text: string): number | undefined {
  const value = text.trim();
  if (!/^\d+$/.test(value)) return undefined;
  const number = Number(value);
  return number >= unlimited ? undefined : number;
}

function toBigint(text: string): bigint {
  const value = text.trim();
  return /^\d+$/.test(value) ? BigInt(value) : 0n;
}
