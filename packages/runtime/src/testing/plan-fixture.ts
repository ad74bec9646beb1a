/** An ordinary configuration and machine, for tests of plans. */
import { checkOciSpec, type OciSpec } from "@fathom/spec";
import { compile, type CompileOptions } from "../compile/compile.ts";
import { describeOperation } from "../plan/describe-operation.ts";
import type { Operation } from "../plan/plan.ts";

export const options: CompileOptions = {
  rootfs: { kind: "overlay", lower: ["/l/B", "/l/A"], upper: "/o/diff", work: "/o/work" },
  at: "/run/fathom/rootfs",
  cgroup: {
    procsFiles: ["/sys/fs/cgroup/pids/fathom/c/cgroup.procs"],
    hierarchies: [
      {
        version: 1,
        mountPoint: "/sys/fs/cgroup/cpu,cpuacct",
        directory: "/sys/fs/cgroup/cpu,cpuacct/fathom/c",
        selectors: [["cpu"], ["cpuacct"]],
      },
      {
        version: 1,
        mountPoint: "/sys/fs/cgroup/systemd",
        directory: "/sys/fs/cgroup/systemd/fathom/c",
        selectors: [["name", "systemd"]],
      },
    ],
  },
  architecture: "x86_64",
};
export const unified: CompileOptions["cgroup"] = {
  procsFiles: ["/sys/fs/cgroup/fathom/c/cgroup.procs"],
  hierarchies: [{ version: 2, mountPoint: "/sys/fs/cgroup", directory: "/sys/fs/cgroup/fathom/c", selectors: [] }],
};

export type Change = Omit<Partial<OciSpec>, "process" | "linux"> & {
  readonly process?: object;
  readonly linux?: object;
};

/** A configuration with the parts that most containers have, with the changes of `change`. */
export function spec(change: Change = {}): OciSpec {
  const { process, linux, ...rest } = change;
  return checkOciSpec({
    ociVersion: "1.3.0",
    hostname: "c0ffee",
    root: { path: "rootfs" },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
      { destination: "/etc/hosts", type: "bind", source: "/c/hosts", options: ["rbind", "rprivate"] },
    ],
    ...rest,
    process: {
      args: ["sh", "-c", "true"],
      env: ["PATH=/usr/bin:/bin", "A=1", "A=2"],
      cwd: "/work",
      user: { uid: 1000, gid: 100, additionalGids: [100, 5] },
      capabilities: { bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"] },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
      oomScoreAdj: 0,
      ...process,
    },
    linux: {
      namespaces: ["mount", "pid", "network", "ipc", "uts", "cgroup"].map((type) => ({ type })),
      sysctl: { "net.ipv4.ip_forward": "0" },
      maskedPaths: ["/proc/kcore"],
      readonlyPaths: ["/proc/sys"],
      ...linux,
    },
  });
}

export function kinds(operations: readonly Operation[]): string[] {
  return operations.map((operation) => operation.kind);
}

export function texts(of: OciSpec, kind: Operation["kind"], change: Partial<CompileOptions> = {}): string[] {
  return compile(of, { ...options, ...change })
    .operations.filter((operation) => operation.kind === kind)
    .map(describeOperation);
}

export function exec(process: object): Operation | undefined {
  return compile(spec({ process }), options).operations.at(-1);
}
