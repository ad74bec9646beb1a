/** One look at what a running container uses: its cgroup, its interfaces, and the processors of the host at the same moment. */
import { readFileSync } from "node:fs";
import { formatRfc3339Nano, type Clock } from "@fathom/base";
import type { CgroupStats } from "@fathom/runtime";
import type { Container } from "../container.ts";

export interface ResourceSample {
  /** RFC 3339 with nanoseconds, UTC. */
  readonly readAt: string;
  readonly cgroup: CgroupStats;
  readonly host: HostProcessors;
  /** By name ("eth0"), without lo. Empty for a container in the host's network namespace. */
  readonly interfaces: Readonly<Record<string, InterfaceCounters>>;
}

export interface HostProcessors {
  /** What all processors have spent since the boot, idle time included. */
  readonly totalNs: number;
  readonly online: number;
}

/** Since the interface exists. */
export interface InterfaceCounters {
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly receiveErrors: number;
  readonly receiveDropped: number;
  readonly sentBytes: number;
  readonly sentPackets: number;
  readonly sendErrors: number;
  readonly sendDropped: number;
}

/** `sysconf(_SC_CLK_TCK)` is 100 on every Linux that we support: the kernel's ABI fixes USER_HZ. */
const nanosecondsPerTick = 10_000_000;

/** proc(5), /proc/stat. The fields after steal are parts of the first two, so they do not count again. */
export function parseHostProcessors(text: string): HostProcessors {
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.split(" ") ?? [];
  const ticks = fields.slice(0, 7).reduce((sum, field) => sum + Number(field), 0);
  return { totalNs: ticks * nanosecondsPerTick, online: text.match(/^cpu\d+ /gm)?.length ?? 0 };
}

/** proc(5), /proc/PID/net/dev: two lines of titles, then one line for each interface. */
export function parseInterfaces(text: string): Readonly<Record<string, InterfaceCounters>> {
  const found: Record<string, InterfaceCounters> = {};
  for (const line of text.split("\n").slice(2)) {
    const colon = line.lastIndexOf(":");
    const name = line.slice(0, colon).trim();
    if (colon === -1 || name === "lo") continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/ +/)
      .map(Number);
    const at = (index: number): number => fields[index] ?? 0;
    found[name] = {
      receivedBytes: at(0),
      receivedPackets: at(1),
      receiveErrors: at(2),
      receiveDropped: at(3),
      sentBytes: at(8),
      sentPackets: at(9),
      sendErrors: at(10),
      sendDropped: at(11),
    };
  }
  return found;
}

export function readHostProcessors(): HostProcessors {
  return parseHostProcessors(readFileSync("/proc/stat", "latin1"));
}

/** A sample, or undefined while the container does not run. */
export type Look = ResourceSample | undefined;

export function lookAt({ process, record }: Container, host: HostProcessors, clock: Pick<Clock, "nowNs">): Look {
  if (process === undefined) return undefined;
  return {
    readAt: formatRfc3339Nano(clock.nowNs()),
    cgroup: process.cgroup.stats(),
    host,
    interfaces: record.spec.network.kind === "host" ? {} : readInterfaces(process.supervisor.pid),
  };
}

function readInterfaces(pid: number): ResourceSample["interfaces"] {
  try {
    return parseInterfaces(readFileSync(`/proc/${pid}/net/dev`, "latin1"));
  } catch {
    // The process has ended, and its end has not been handled yet: its interfaces are gone.
    return {};
  }
}
