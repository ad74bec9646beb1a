/** What the kernel says about a container, field by field, without what differs between two runs of one runtime. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

export type Observed = Map<string, string>;

/** Numbers of processes, amounts of memory, and counts. */
const changing = /^(State|Pid|PPid|Tgid|Ngid|NStgid|NSpid|NSpgid|NSsid|Vm|Rss|Huge|FDSize|.*ctxt_switches|SigQ)/;

function statusFields(pid: number, into: Observed, prefix: string): void {
  for (const line of readFileSync(`/proc/${pid}/status`, "utf8").split("\n")) {
    const [name = "", value = ""] = line.split(/:\s*/);
    if (name !== "" && !changing.test(name)) into.set(`${prefix}${name}`, value);
  }
}

function limitFields(pid: number, into: Observed): void {
  for (const line of readFileSync(`/proc/${pid}/limits`, "utf8").split("\n").slice(1)) {
    const [name = "", ...values] = line.split(/ {2,}/);
    if (name !== "") into.set(`limits ${name}`, values.slice(0, 2).join(" "));
  }
}

/** `replace`: texts that have the names of a rig. Propagation groups are numbered by the kernel, so only their kinds count. */
function mountFields(pid: number, into: Observed, replace: (text: string) => string): void {
  const seen = new Map<string, number>();
  for (const line of readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n").filter(Boolean)) {
    const [, , , root = "", point = "", options = "", ...rest] = line.split(" ");
    const end = rest.indexOf("-");
    const [type = "", source = "", supers = ""] = rest.slice(end + 1);
    const count = seen.get(point) ?? 0;
    seen.set(point, count + 1);
    const key = `mount ${point}${count === 0 ? "" : ` #${count + 1}`}`;
    into.set(`${key} root`, replace(root));
    into.set(`${key} options`, options);
    into.set(
      `${key} propagation`,
      rest
        .slice(0, end)
        .map((field) => field.replace(/:.*/, ""))
        .join(","),
    );
    into.set(`${key} file system`, `${type} ${replace(source)} ${supers}`);
  }
}

function deviceFields(pid: number, into: Observed): void {
  const root = `/proc/${pid}/root/dev`;
  for (const name of readdirSync(root)) {
    const about = lstatSync(join(root, name));
    const link = about.isSymbolicLink() ? ` -> ${readlinkSync(join(root, name))}` : "";
    into.set(`dev ${name}`, `${about.mode.toString(8)} ${about.uid}:${about.gid} ${about.rdev}${link}`);
  }
}

/** Settings, and not counters. */
const settings =
  /^(memory\.(limit_in_bytes|soft_limit_in_bytes|memsw\.limit_in_bytes|swappiness)|cpu\.(shares|cfs_quota_us|cfs_period_us|weight|max|idle|cfs_burst_us)|cpuset\.(cpus|mems)|pids\.max|devices\.list|freezer\.state|cgroup\.freeze|blkio\.bfq\.weight|notify_on_release)$/;

function cgroupFields(path: string, into: Observed): void {
  for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
    let names: string[];
    try {
      names = readdirSync(join("/sys/fs/cgroup", hierarchy, path));
    } catch {
      continue;
    }
    for (const name of names.filter((one) => settings.test(one)))
      into.set(
        `cgroup ${hierarchy} ${name}`,
        readFileSync(join("/sys/fs/cgroup", hierarchy, path, name), "utf8")
          .trim()
          .split("\n")
          .sort()
          .join("; "),
      );
  }
}

const namespaces = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"];

export function observe(pid: number, cgroup: string, replace: (text: string) => string): Observed {
  const found: Observed = new Map();
  statusFields(pid, found, "status ");
  limitFields(pid, found);
  mountFields(pid, found, replace);
  deviceFields(pid, found);
  cgroupFields(cgroup, found);
  for (const kind of namespaces)
    found.set(
      `namespace ${kind}`,
      readlinkSync(`/proc/${pid}/ns/${kind}`) === readlinkSync(`/proc/self/ns/${kind}`) ? "the host's" : "its own",
    );
  for (const line of readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n")) {
    const [, controllers = "", path = ""] = line.split(":");
    found.set(`in cgroup ${controllers === "" ? "v2" : controllers}`, path);
  }
  for (const file of ["oom_score_adj", "uid_map", "gid_map", "personality", "setgroups", "timens_offsets"])
    found.set(`proc ${file}`, readFileSync(`/proc/${pid}/${file}`, "utf8").trim());
  found.set("proc environ", readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").filter(Boolean).join("; "));
  found.set("proc cmdline", readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim());
  found.set("proc cwd", readlinkSync(`/proc/${pid}/cwd`));
  found.set("descriptors", readdirSync(`/proc/${pid}/fd`).join(" "));
  for (const link of ["hostname", "domainname"])
    found.set(
      `kernel ${link}`,
      Bun.spawnSync(["nsenter", "-u", "-t", String(pid), "cat", `/proc/sys/kernel/${link}`])
        .stdout.toString()
        .trim(),
    );
  return found;
}

/** Fields whose values differ, with both values. */
export function differences(one: Observed, other: Observed): Map<string, readonly [string, string]> {
  const found = new Map<string, readonly [string, string]>();
  for (const field of new Set([...one.keys(), ...other.keys()])) {
    const [a, b] = [one.get(field) ?? "(none)", other.get(field) ?? "(none)"];
    if (a !== b) found.set(field, [a, b]);
  }
  return found;
}
