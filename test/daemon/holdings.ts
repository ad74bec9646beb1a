/** What a living process holds in the kernel, for tests that the daemon frees it while it runs. When the daemon ends, the kernel frees everything. */
import { readdirSync, readlinkSync } from "node:fs";
import { readOrEmpty } from "@fathom/base/testing";

export interface Holdings {
  readonly descriptors: number;
  /** Mounts that exist only as a descriptor, by their content: roots of containers that nobody closed. */
  readonly detachedMounts: readonly string[];
  /** Supervisors, forwarders and helpers that the daemon started. */
  readonly children: number;
}

export function holdings(pid: number): Holdings {
  const mounts = new Set(
    readOrEmpty(`/proc/${pid}/mountinfo`)
      .split("\n")
      .map((line) => line.split(" ")[0]),
  );
  const fds = readdirSync(`/proc/${pid}/fd`);
  const detachedMounts = fds.flatMap((fd) => {
    let target: string;
    try {
      target = readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return [];
    }
    // Sockets, pipes and memory files are on internal mounts of the kernel.
    if (!target.startsWith("/") || target.startsWith("/memfd:")) return [];
    const id = /^mnt_id:\s+(\d+)$/m.exec(readOrEmpty(`/proc/${pid}/fdinfo/${fd}`))?.[1];
    return id === undefined || mounts.has(id) ? [] : [`${fd} ${target}`];
  });
  const children = readOrEmpty(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).length;
  return { descriptors: fds.length, detachedMounts, children };
}

/**
 * Repeats `action`. Throws when each repetition leaves something in the process. Things that the first time makes and keeps are no leak.
 * Others may appear and disappear meanwhile: if less than half of the repetitions leave something, it is no leak.
 */
export async function expectNoGrowth(pid: number, times: number, action: () => Promise<void> | void): Promise<void> {
  await action();
  const before = holdings(pid);
  for (let turn = 0; turn < times; turn++) await action();
  const grown = (): string[] => {
    const now = holdings(pid);
    const parts = [
      ["descriptors", now.descriptors - before.descriptors],
      ["detached mounts", now.detachedMounts.length - before.detachedMounts.length],
      ["children", now.children - before.children],
    ] as const;
    return parts
      .filter(([, more]) => more >= times / 2)
      .map(([name, more]) => `${more} ${name} more after ${times} repetitions`);
  };
  for (const deadline = Date.now() + 5000; grown().length > 0; await Bun.sleep(50))
    if (Date.now() > deadline)
      throw new Error(`process ${pid} has ${grown().join(", ")}: ${holdings(pid).detachedMounts.join(", ")}`);
}
