/** The facts about this machine that the translation needs, read once. */
import { accessSync, existsSync, readFileSync } from "node:fs";
import { hostText } from "@fathom/sys";
import { availableParallelism, release } from "node:os";
import type { CgroupSupport, SeccompArchitecture } from "@fathom/runtime";

export interface HostFacts {
  /** The daemon's bounding set as a mask: a container can never get more. */
  readonly capabilities: bigint;
  readonly kernelRelease: string;
  readonly architecture: SeccompArchitecture;
  readonly cpuCount: number;
  readonly seccomp: boolean;
  readonly cgroupNamespaces: boolean;
  /** "v2": a container has a cgroup namespace of its own by default. */
  readonly cgroupVersion: "v1" | "v2" | "hybrid";
  readonly limits: CgroupSupport;
  readonly ipv4Forwarding: boolean;
  readonly pingGroupRange: boolean;
  readonly unprivilegedPortStart: boolean;
  /** Masked in addition to the fixed list: /sys/devices/system/cpu/cpu0/thermal_throttle and others, if they exist. */
  readonly thermalPaths: readonly string[];
}

export function readHostFacts(cgroups: {
  readonly version: HostFacts["cgroupVersion"];
  readonly support: CgroupSupport;
}): HostFacts {
  const status = readFileSync("/proc/self/status", "utf8");
  return {
    capabilities: BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`),
    kernelRelease: release(),
    architecture: process.arch === "arm64" ? "aarch64" : "x86_64",
    cpuCount: availableParallelism(),
    seccomp: /^Seccomp:/m.test(status),
    cgroupNamespaces: existsSync("/proc/self/ns/cgroup"),
    cgroupVersion: cgroups.version,
    limits: cgroups.support,
    // Read again each time: the network turns it on after these facts were read.
    get ipv4Forwarding() {
      return (hostText("/proc/sys/net/ipv4/ip_forward") ?? "1").trim() !== "0";
    },
    pingGroupRange: readable("/proc/sys/net/ipv4/ping_group_range"),
    unprivilegedPortStart: readable("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
    thermalPaths: parseNumberList(hostText("/sys/devices/system/cpu/possible") ?? "")
      .map((cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`)
      .filter((path) => existsSync(path)),
  };
}

function readable(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The kernel's own lists: "0-3,5". */
function parseNumberList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .filter(Boolean)
    .flatMap((part) => {
      const [first = 0, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}
