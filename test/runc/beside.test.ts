/**
 * Beside Debian's runc and crun: the same bundles and the same calls. What the kernel shows of the container, exit codes and error texts must be the
 * same, except for what the table in docs/fathom-runc-beside-runc.md names with a reason. A row of the table that no case shows is an error, too.
 */
import { afterAll, afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { until } from "@fathom/base/testing";
import { removeCgroup, type Result } from "../daemon/harness.ts";
import { runName } from "../run-name.ts";
import { differences, observe, type Observed } from "./observe.ts";
import { defaultMounts, finished, RuncRig, type BundleChange } from "./rig.ts";

const rig = new RuncRig();
const others = ["runc", "crun"] as const;
type Runtime = "fathom-runc" | (typeof others)[number];

function command(runtime: Runtime, ...args: string[]): string[] {
  if (runtime === "fathom-runc") return rig.command(...args);
  const own = [runtime, "--root", join(rig.base, runtime), ...args];
  // crun refuses a machine that has both versions of cgroups; without the v2 mount it works.
  const hide = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"';
  return runtime === "crun" ? ["unshare", "--mount", "sh", "-c", hide, "sh", ...own] : own;
}

const names = new Set<string>();
afterEach(async () => {
  for (const id of names)
    await Promise.all(
      [...others, "fathom-runc" as const].map((one) => finished(command(one, "delete", "--force", id))),
    );
  names.clear();
});
afterAll(() => {
  removeCgroup(`${rig.parent}/same`);
  rig[Symbol.dispose]();
});

/** Field pattern → reason, from the table: "`mount … options`" with "…" for any text. */
interface Row {
  readonly of: string;
  readonly field: RegExp;
  seen: boolean;
}
const document = readFileSync(resolve(import.meta.dir, "../../docs/fathom-runc-beside-runc.md"), "utf8");
const rows: readonly Row[] = document.split("\n").flatMap((line) => {
  const [, of, field] = /^\| (runc|crun|both) \| `([^`]+)` \|/.exec(line) ?? [];
  if (of === undefined || field === undefined) return [];
  const pattern = field
    .split("…")
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(".*");
  return [{ of, field: new RegExp(`^${pattern}$`), seen: false }];
});

/** Those that no row explains. */
function unexplained(other: string, found: ReadonlyMap<string, readonly [string, string]>): string[] {
  return [...found].flatMap(([field, [theirs, ours]]) => {
    const fitting = rows.filter((row) => (row.of === other || row.of === "both") && row.field.test(field));
    for (const row of fitting) row.seen = true;
    return fitting.length === 0 ? [`${field}: ${other} ${theirs} | fathom-runc ${ours}`] : [];
  });
}

let count = 0;

async function look(runtime: Runtime, bundle: string): Promise<Observed> {
  const id = `same-${runName}-${count++}`;
  names.add(id);
  const made = await finished(
    command(runtime, "run", "--detach", "--bundle", bundle, "--pid-file", join(bundle, "pid"), id),
  );
  if (made.code !== 0) throw new Error(`${runtime}: ${made.err}`);
  const pid = Number(readFileSync(join(bundle, "pid"), "utf8"));
  await until("it runs its program", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
  const cgroup = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")).linux.cgroupsPath;
  const found = observe(pid, cgroup, (text) => text.replaceAll(id, "ID"));
  const inside =
    "grep -E '^(Cap|Seccomp|NoNew|Uid|Gid|Groups|Umask)' /proc/self/status; cat /proc/self/cgroup; pwd; exit 9";
  const exec = await finished(command(runtime, "exec", id, "sh", "-c", inside));
  for (const line of exec.out.split("\n").filter(Boolean)) found.set(`exec ${line.split(/:\s*/)[0]}`, line);
  found.set("exec code", String(exec.code));
  await finished(command(runtime, "delete", "--force", id));
  return found;
}

const map = [{ containerID: 0, hostID: 300_000, size: 65_536 }];
const filter = {
  defaultAction: "SCMP_ACT_ALLOW",
  architectures: ["SCMP_ARCH_X86_64"],
  syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO" }],
};
const namespacesOf = (...kinds: string[]): object[] => kinds.map((type) => ({ type }));
const sleep = ["sleep", "1000"];

const cases: readonly (readonly [string, BundleChange])[] = [
  ["the default", {}],
  [
    "a user with few rights",
    {
      process: {
        user: { uid: 5, gid: 6, additionalGids: [7, 8], umask: 0o027 },
        cwd: "/tmp",
        noNewPrivileges: true,
        oomScoreAdj: 500,
        env: ["PATH=/bin", "A=1", "B=2"],
        rlimits: [
          { type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
          { type: "RLIMIT_CORE", soft: 0, hard: 0 },
        ],
      },
    },
  ],
  [
    "capabilities in all sets",
    {
      process: {
        user: { uid: 5, gid: 5 },
        capabilities: {
          bounding: ["CAP_KILL", "CAP_CHOWN"],
          effective: ["CAP_KILL"],
          permitted: ["CAP_KILL", "CAP_CHOWN"],
          inheritable: ["CAP_KILL"],
          ambient: ["CAP_KILL"],
        },
      },
    },
  ],
  [
    "limits",
    {
      linux: {
        resources: {
          memory: { limit: 64 << 20, reservation: 32 << 20, swap: 128 << 20 },
          cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: "0", mems: "0" },
          pids: { limit: 77 },
          devices: [{ allow: false, access: "rwm" }],
        },
      },
    },
  ],
  ["a filter", { linux: { seccomp: filter } }],
  ["a filter without no_new_privs", { process: { noNewPrivileges: false }, linux: { seccomp: filter } }],
  [
    "mounts with options",
    {
      mounts: [
        ...defaultMounts,
        { destination: "/tmp/ro", type: "bind", source: "/usr/share", options: ["rbind", "ro", "nosuid"] },
        { destination: "/tmp/file", type: "bind", source: "/etc/hostname", options: ["bind", "ro", "noexec"] },
        {
          destination: "/tmp/small",
          type: "tmpfs",
          source: "tmpfs",
          options: ["size=1m", "mode=1777", "nodev", "noatime"],
        },
        { destination: "/tmp/shared", type: "bind", source: "/usr/share", options: ["bind", "shared"] },
        { destination: "/tmp/all", type: "bind", source: "/usr/share", options: ["rbind", "rslave"] },
      ],
    },
  ],
  ["a read-only root", { whole: { root: { path: rig.rootfs, readonly: true } } }],
  [
    "kernel parameters and names",
    {
      whole: { hostname: "name" },
      linux: { sysctl: { "net.ipv4.ip_forward": "1", "kernel.msgmax": "4096" } },
    },
  ],
  ["the host's network and IPC", { linux: { namespaces: namespacesOf("pid", "uts", "mount") } }],
  [
    "a cgroup namespace with its file system",
    {
      linux: { namespaces: namespacesOf("pid", "network", "ipc", "uts", "mount", "cgroup") },
      mounts: [
        ...defaultMounts,
        {
          destination: "/sys/fs/cgroup",
          type: "cgroup",
          source: "cgroup",
          options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
        },
      ],
    },
  ],
  [
    "devices",
    {
      linux: {
        devices: [
          { path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o600, uid: 5, gid: 6 },
          { path: "/dev/pipe", type: "p", fileMode: 0o622 },
        ],
        resources: {
          devices: [
            { allow: false, access: "rwm" },
            { allow: true, type: "c", major: 10, minor: 229, access: "rw" },
          ],
        },
      },
    },
  ],
  [
    "a user namespace",
    {
      linux: {
        namespaces: namespacesOf("pid", "network", "ipc", "uts", "mount", "user"),
        uidMappings: map,
        gidMappings: map,
      },
    },
  ],
  ["the personality of 32 bits", { linux: { personality: { domain: "LINUX32" } } }],
];

for (const other of others)
  for (const [what, change] of cases)
    test(`${what}: as ${other} makes it`, async () => {
      const bundle = rig.bundle({ args: sleep, ...change });
      const theirs = await look(other, bundle);
      const ours = await look("fathom-runc", bundle);
      expect(theirs.size).toBeGreaterThan(60);
      expect(unexplained(other, differences(theirs, ours))).toEqual([]);
    });

const outcomes: readonly (readonly [string, BundleChange, string?])[] = [
  ["an exit code", { args: ["sh", "-c", "echo out; echo err >&2; exit 7"] }],
  [
    "a signal",
    { args: ["sh", "-c", "kill -KILL $$; sleep 1"], linux: { namespaces: namespacesOf("mount", "ipc", "uts") } },
  ],
  ["a program that is missing", { args: ["nosuch"] }, 'exec: "nosuch": executable file not found in $PATH'],
  ["a path that is missing", { args: ["/no/such"] }, 'exec: "/no/such": stat /no/such: no such file or directory'],
  ["a program that may not be executed", { args: ["/etc"] }, "permission denied"],
];
for (const [what, change, text] of outcomes)
  test(`${what}: the outcome is runc's`, async () => {
    const bundle = rig.bundle(change);
    const ended: Result[] = [];
    for (const runtime of ["runc", "fathom-runc"] as const) {
      const id = `same-${runName}-${count++}`;
      names.add(id);
      const { code, out, err } = await finished(command(runtime, "run", "--bundle", bundle, id));
      ended.push({ code, out, err: err.replaceAll(String.raw`\"`, '"').replace(/time="[^"]*" /, "") });
    }
    if (text !== undefined) for (const one of ended) expect(one.err).toContain(text);
    // For a directory, runc has other words before those.
    const [theirs, ours] = ended;
    expect(ours).toEqual(text === undefined ? theirs! : { ...theirs!, err: ours!.err });
  });

test("each row of the table is shown by a case", () => {
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.filter((row) => !row.seen).map((row) => `${row.of} ${row.field}`)).toEqual([]);
});
