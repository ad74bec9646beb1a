/** What a daemon and its children hold, read from the kernel, to compare before and after. */
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { until, type TestDaemon } from "./harness.ts";
import { namesIn, readOrEmpty } from "@fathom/base/testing";

/** In numbers. */
function held(daemon: TestDaemon): Record<string, number> {
  const { pid } = daemon;
  const processes = namesIn("/proc").filter((name) => /^\d+$/.test(name));
  const supervisors = processes.filter((name) => {
    const stat = readOrEmpty(`/proc/${name}/stat`);
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return parent === String(pid) && state !== "Z" && readOrEmpty(`/proc/${name}/cmdline`).startsWith("fathom-init");
  });
  const namespaces = new Set<string>();
  for (const name of processes)
    try {
      namespaces.add(readlinkSync(`/proc/${name}/ns/net`));
    } catch {
      // The process has ended.
    }
  const cgroups = ["", ...namesIn("/sys/fs/cgroup")].map(
    (root) =>
      namesIn(join("/sys/fs/cgroup", root, daemon.cgroupParent)).filter((name) => /^[0-9a-f]{64}$/.test(name)).length,
  );
  const descriptors = namesIn(`/proc/${pid}/fd`).map((name) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return "";
    }
  });
  return {
    supervisors: supervisors.length,
    networkNamespaces: namespaces.size,
    cgroups: Math.max(...cgroups),
    links: daemon.run("ip", "-o", "link").out.trim().split("\n").length,
    // Connections of clients and files of the runtime come and go.
    descriptors: descriptors.filter((target) => target !== "" && !target.startsWith("socket:")).length,
    sockets: descriptors.filter((target) => target.startsWith("socket:")).length,
    mounts: readOrEmpty(`/proc/${pid}/mountinfo`).split("\n").length,
  };
}

/** Waits until the numbers stay the same: the pool of stems is full, and everything that was being ended has ended. */
export async function settledHoldings(daemon: TestDaemon): Promise<Record<string, number>> {
  let last = held(daemon);
  await until("the numbers stay the same", async () => {
    const before = JSON.stringify(last);
    // sleep: work in the background changes the numbers within this time; then the loop compares again
    await Bun.sleep(300);
    last = held(daemon);
    return before === JSON.stringify(last);
  });
  return last;
}

/** What a daemon holds more than in `before`, after it had time to free it; empty when nothing is left. */
export async function heldMore(daemon: TestDaemon, before: Record<string, number>): Promise<string[]> {
  let more: string[] = [];
  await until("nothing is more than before", async () => {
    const after = await settledHoldings(daemon);
    more = Object.keys(before).flatMap((name) =>
      after[name]! > before[name]! ? [`${name}: ${before[name]}, then ${after[name]}`] : [],
    );
    return more.length === 0;
  }).catch(() => undefined);
  return more;
}
