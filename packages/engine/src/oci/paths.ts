/** Paths of /proc and /sys that containers may not see or write. */
import type { HostFacts } from "./host-facts.ts";

const masked: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

export const readonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** Docker 29's list. Counters of interrupts, power and heat would reveal what other tenants compute. */
export function maskedPaths(host: Pick<HostFacts, "thermalPaths">): readonly string[] {
  return [...masked, ...host.thermalPaths];
}
