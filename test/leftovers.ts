/**
 * What a test file left behind, read from the kernel. Each root test file runs in a room of its own (test/room.sh). Everything in the room's
 * namespaces, in its folder for temporary files and in its /run belongs to the file, also when other files run at the same time. Only cgroups
 * have no such room: the name of a run's cgroups contains the run's name (test/run-name.ts).
 *
 *   bun test/leftovers.ts            inside a room: prints what exists, one per line
 *   bun test/leftovers.ts BEFORE     waits until everything that exists is also in the file BEFORE, at most FATHOM_TEST_PATIENCE_MS (5000);
 *                                    prints the rest
 */
import { readlinkSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { runName } from "./run-name.ts";
import { namesIn, readOrEmpty } from "@fathom/base/testing";

function target(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** Fields of /proc/PID/stat from the state on (proc_pid_stat(5)); undefined when the process has ended. */
function stat(pid: string): string[] | undefined {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  return text === "" ? undefined : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** Processes of the room, without its first process, this one, and those between the two. */
function processes(): string[] {
  const mine = new Set(["1"]);
  for (let pid = String(process.pid); pid !== "1" && pid !== "0"; pid = stat(pid)?.[1] ?? "1") mine.add(pid);
  return namesIn("/proc")
    .filter((name) => /^\d+$/.test(name) && !mine.has(name))
    .flatMap((pid) => {
      const state = stat(pid)?.[0];
      // Dead processes wait for the room's first process, which reaps them.
      if (state === undefined || "ZX".includes(state)) return [];
      const words = readOrEmpty(`/proc/${pid}/cmdline`).split("\0").join(" ").slice(0, 200).trim();
      return [`process ${pid} ${target(`/proc/${pid}/exe`)}: ${words}`];
    });
}

function mounts(): string[] {
  return readOrEmpty("/proc/self/mountinfo")
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [id, , , , point, ...rest] = line.split(" ");
      return `mount ${id} ${point} ${rest.at(rest.indexOf("-") + 1)}`;
    });
}

function printed(...command: string[]): string[] {
  return Bun.spawnSync(command, { stderr: "ignore" }).stdout.toString().split("\n").filter(Boolean);
}

/** Not from /sys/class/net: that shows the namespace in which /sys was mounted. */
function links(): string[] {
  return printed("ip", "-o", "link").map((line) => `link ${line.split(" ")[1]}`);
}

function firewall(): string[] {
  return printed("nft", "list", "tables").map((line) => `nftables ${line}`);
}

function networkNamespaces(): string[] {
  return namesIn("/run/netns").map((name) => `network namespace ${name}`);
}

/** A killed daemon leaves its lock file. It is only a name, and the next daemon uses it again. */
function files(): string[] {
  return [
    ...namesIn("/run").filter((name) => name !== "netns" && name !== "lock" && !/^fathom-.*\.lock$/.test(name)),
    ...namesIn(tmpdir()),
  ].map((name) => `file ${name}`);
}

function loopDevices(): string[] {
  return namesIn("/sys/block").flatMap((name) => {
    const file = readOrEmpty(`/sys/block/${name}/loop/backing_file`).trim();
    return file.startsWith(dirname(tmpdir())) ? [`loop device ${name} of ${file}`] : [];
  });
}

function cgroupPaths(): string[] {
  const found: string[] = [];
  const visit = (path: string, depth: number): void => {
    for (const name of namesIn(path)) {
      const below = `${path}/${name}`;
      if (name.includes(runName)) found.push(below);
      else if (depth < 3 && !name.includes(".")) visit(below, depth + 1);
    }
  };
  visit("/sys/fs/cgroup", 0);
  return found;
}

function look(): string[] {
  return [
    ...processes(),
    ...mounts(),
    ...links(),
    ...firewall(),
    ...networkNamespaces(),
    ...files(),
    ...loopDevices(),
    ...cgroupPaths().map((path) => `cgroup ${path}`),
  ];
}

/** Removes the run's cgroups, when its room has ended and they are empty. */
export function removeCgroups(): void {
  const remove = (path: string): void => {
    for (const name of namesIn(path)) if (!name.includes(".")) remove(`${path}/${name}`);
    try {
      rmdirSync(path);
    } catch {
      // It is a file, or not empty.
    }
  };
  for (const path of cgroupPaths()) remove(path);
}

if (import.meta.main) {
  const before = new Set(process.argv[2] === undefined ? [] : readOrEmpty(process.argv[2]).split("\n"));
  const patienceMs = Number(process.env["FATHOM_TEST_PATIENCE_MS"] ?? 5000);
  const deadline = Date.now() + (process.argv[2] === undefined ? 0 : patienceMs);
  let left = look();
  // Dying processes get some time. A supervisor that could not write an exit status tries again after a second.
  while ((left = left.filter((item) => !before.has(item))).length > 0 && Date.now() < deadline) {
    await Bun.sleep(100);
    left = look();
  }
  console.log(left.join("\n"));
}
