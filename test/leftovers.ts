/**
 * What Fathom may leave on a machine, read from the kernel: mounts, network links, nftables tables, cgroups, processes. The runner
 * compares before and after each root test file, so what other programs own does not matter.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Leftover {
  /** Says what and where; equal keys are the same thing. */
  readonly key: string;
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n").filter(Boolean);
  } catch {
    return [];
  }
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function mounts(): Leftover[] {
  return lines("/proc/self/mounts")
    .map((line) => line.split(" ").slice(0, 3).join(" "))
    .filter((line) => /fathom|overlay/.test(line))
    .map((line) => ({ key: `mount ${line}` }));
}

function links(): Leftover[] {
  return entries("/sys/class/net")
    .filter((name) => /^(veth|fathom|br-)/.test(name))
    .map((name) => ({ key: `link ${name}` }));
}

function cgroups(): Leftover[] {
  const found: Leftover[] = [];
  const visit = (path: string, depth: number): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const below = `${path}/${entry.name}`;
      if (/\/fathom[^/]*\/[^/]+$/.test(below)) found.push({ key: `cgroup ${below}` });
      else if (depth < 3) visit(below, depth + 1);
    }
  };
  try {
    visit("/sys/fs/cgroup", 0);
  } catch {
    // A cgroup that ended meanwhile is no leftover.
  }
  return found;
}

function processes(): Leftover[] {
  const found: Leftover[] = [];
  for (const pid of entries("/proc").filter((name) => /^\d+$/.test(name))) {
    let executable = "";
    try {
      executable = readlinkSync(`/proc/${pid}/exe`);
    } catch {
      continue;
    }
    if (/fathom-init|memfd:fathom|dist\/fathom/.test(executable)) found.push({ key: `process ${pid} ${executable}` });
  }
  return found;
}

function firewall(): Leftover[] {
  const run = Bun.spawnSync(["nft", "list", "tables"], { stdout: "pipe", stderr: "ignore" });
  return run.stdout
    .toString()
    .split("\n")
    .filter((line) => line.includes("fathom"))
    .map((line) => ({ key: `nftables ${line}` }));
}

function networkNamespaces(): Leftover[] {
  return entries("/run/netns").map((name) => ({ key: `network namespace ${name}` }));
}

function look(): Leftover[] {
  return [...mounts(), ...links(), ...cgroups(), ...processes(), ...firewall(), ...networkNamespaces()];
}

/** Everything found, twice with a pause where something is there: dying processes and cgroups get a moment. */
export async function leftovers(): Promise<Leftover[]> {
  const first = look();
  if (first.length === 0) return first;
  await Bun.sleep(500);
  const second = look();
  return second.filter((item) => first.some((old) => old.key === item.key));
}
