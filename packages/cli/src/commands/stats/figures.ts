/** The figures of `stats` from one sample of the daemon, with docker's formulas. */
import { bytesSize, humanSize } from "@fathom/spec";

interface CpuStats {
  readonly cpu_usage?: { readonly total_usage?: number; readonly percpu_usage?: readonly number[] | null };
  readonly system_cpu_usage?: number;
  readonly online_cpus?: number;
}

/** What the daemon says about a container at one moment. Members of the other cgroup version are absent. */
export interface Sample {
  readonly id?: string;
  readonly name?: string;
  readonly cpu_stats?: CpuStats;
  readonly precpu_stats?: CpuStats;
  readonly memory_stats?: {
    readonly usage?: number;
    readonly limit?: number;
    readonly stats?: Readonly<Record<string, number>> | null;
  };
  readonly networks?: Readonly<Record<string, { readonly rx_bytes: number; readonly tx_bytes: number }>> | null;
  readonly blkio_stats?: {
    readonly io_service_bytes_recursive?: readonly { readonly op: string; readonly value: number }[] | null;
  };
  readonly pids_stats?: { readonly current?: number };
}

const noValue = "--";
const percent = (value: number): string => `${value.toFixed(2)}%`;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

function cpuPercent({ cpu_stats: now = {}, precpu_stats: before = {} }: Sample): number {
  const used = (now.cpu_usage?.total_usage ?? 0) - (before.cpu_usage?.total_usage ?? 0);
  const passed = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const cpus = (now.online_cpus ?? 0) || (now.cpu_usage?.percpu_usage?.length ?? 0);
  return used > 0 && passed > 0 ? (used / passed) * cpus * 100 : 0;
}

/** Without the page cache that the kernel can take back at once. */
function memoryUsed({ memory_stats: { usage = 0, stats } = {} }: Sample): number {
  const v1 = stats?.["total_inactive_file"];
  if (v1 !== undefined && v1 < usage) return usage - v1;
  const v2 = stats?.["inactive_file"] ?? 0;
  return v2 < usage ? usage - v2 : usage;
}

export const statsHeadings = {
  Container: "CONTAINER",
  Name: "NAME",
  ID: "CONTAINER ID",
  CPUPerc: "CPU %",
  MemUsage: "MEM USAGE / LIMIT",
  MemPerc: "MEM %",
  NetIO: "NET I/O",
  BlockIO: "BLOCK I/O",
  PIDs: "PIDS",
} as const;

export const statsColumns = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

/** One row of the table. @param sample undefined when the daemon has given none in time */
export function statsFields(container: string, sample: Sample | undefined, whole: boolean): Record<string, string> {
  const id = sample?.id ?? "";
  const name = (sample?.name ?? "").replace(/^\//, "");
  const named = { Container: container, Name: name === "" ? noValue : name, ID: whole ? id : id.slice(0, 12) };
  if (sample === undefined)
    return {
      ...named,
      CPUPerc: noValue,
      MemUsage: "-- / --",
      MemPerc: noValue,
      NetIO: noValue,
      BlockIO: noValue,
      PIDs: noValue,
    };
  const used = memoryUsed(sample);
  const limit = sample.memory_stats?.limit ?? 0;
  const networks = Object.values(sample.networks ?? {});
  const transfers = sample.blkio_stats?.io_service_bytes_recursive ?? [];
  const moved = (letter: string): number =>
    sum(transfers.filter(({ op }) => op.toLowerCase().startsWith(letter)).map(({ value }) => value));
  return {
    ...named,
    CPUPerc: percent(cpuPercent(sample)),
    MemUsage: `${bytesSize(used)} / ${bytesSize(limit)}`,
    MemPerc: percent(limit === 0 ? 0 : (used / limit) * 100),
    NetIO: `${humanSize(sum(networks.map((one) => one.rx_bytes)), 3)} / ${humanSize(sum(networks.map((one) => one.tx_bytes)), 3)}`,
    BlockIO: `${humanSize(moved("r"), 3)} / ${humanSize(moved("w"), 3)}`,
    PIDs: String(sample.pids_stats?.current ?? 0),
  };
}
