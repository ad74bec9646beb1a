/**
 * The kernel features that the engine needs: a table with the purpose of each, the first kernel that has it, and what the engine does without
 * it. The daemon tries them at its start (`probeKernel` of sys, `tryCgroupFeatures` here) and never looks at a version number: distributions
 * add features to older kernels, and filters remove calls from new ones.
 */
import { EngineError } from "@fathom/base";
import { errnoName, isSysError, type Sys } from "@fathom/sys";
import { allDevices } from "./cgroups/device-access.ts";
import { deviceInstructions, encodeInstructions } from "./cgroups/device-program.ts";
import { unifiedOf } from "./cgroups/directories.ts";
import { hostFileSystem, type CgroupFileSystem } from "./cgroups/filesystem.ts";
import type { HierarchySet } from "./cgroups/hierarchies.ts";

/** The oldest kernel that has all required features. */
export const oldestKernel = "5.15";

export interface KernelFeature {
  /** The name in the tries. */
  readonly name: string;
  /** "open_tree(OPEN_TREE_CLONE)": for people. */
  readonly call: string;
  readonly purpose: string;
  /** The first kernel that has it: "5.12". */
  readonly since: string;
  /** What the engine does instead, with the same result. Absent: the engine cannot work without it. */
  readonly fallback?: string;
  /** What switches it on when the kernel may have it. */
  readonly option?: string;
}

const required = (name: string, since: string, call: string, purpose: string, option?: string): KernelFeature => ({
  name,
  since,
  call,
  purpose,
  ...(option === undefined ? {} : { option }),
});
const replaced = (name: string, since: string, call: string, purpose: string, fallback: string): KernelFeature => ({
  name,
  since,
  call,
  purpose,
  fallback,
});

export const kernelFeatures: readonly KernelFeature[] = [
  required("openat2", "5.6", "openat2", "paths of a container never lead out of its root"),
  required("new-mounts", "5.2", "fsopen, fsmount, move_mount", "mounts that have no path until they are in place"),
  required("open_tree", "5.2", "open_tree(OPEN_TREE_CLONE)", "bind mounts, masked and read-only paths"),
  required("mount_setattr", "5.12", "mount_setattr", "read-only and other attributes of whole trees of mounts"),
  required("clone3", "5.3", "clone3(CLONE_PIDFD)", "processes of containers, with a descriptor of each"),
  required("pidfd_open", "5.3", "pidfd_open", "descriptors of processes, which never mean another one"),
  required("pidfd_send_signal", "5.1", "pidfd_send_signal", "signals to a process by its descriptor"),
  required("waitid-pidfd", "5.4", "waitid(P_PIDFD)", "exit statuses by a process's descriptor"),
  required("setns-pidfd", "5.8", "setns with a process's descriptor", "exec and health checks"),
  required("close_range", "5.11", "close_range(CLOSE_RANGE_CLOEXEC)", "no descriptor of the engine in a container"),
  required("seccomp", "3.17", "seccomp", "filters of system calls", "CONFIG_SECCOMP_FILTER"),
  required("mount-namespace", "2.4", "unshare(CLONE_NEWNS)", "each container's own mounts"),
  required("uts-namespace", "2.6", "unshare(CLONE_NEWUTS)", "each container's own host name", "CONFIG_UTS_NS"),
  required("ipc-namespace", "2.6", "unshare(CLONE_NEWIPC)", "each container's own shared memory", "CONFIG_IPC_NS"),
  required("pid-namespace", "2.6", "unshare(CLONE_NEWPID)", "each container's own processes", "CONFIG_PID_NS"),
  required(
    "cgroup-namespace",
    "4.6",
    "unshare(CLONE_NEWCGROUP)",
    "each container's own view of cgroups",
    "CONFIG_CGROUPS",
  ),
  required(
    "overlay",
    "4.0",
    "mount of overlay",
    "images and containers' layers",
    "CONFIG_OVERLAY_FS (modprobe overlay)",
  ),
  required("proc", "2.6", "fsopen of proc", "/proc", "CONFIG_PROC_FS"),
  required("sysfs", "2.6", "fsopen of sysfs", "/sys", "CONFIG_SYSFS"),
  required("mqueue", "2.6", "fsopen of mqueue", "/dev/mqueue", "CONFIG_POSIX_MQUEUE"),
  required("pty", "4.13", "ioctl(TIOCGPTPEER)", "terminals", "CONFIG_UNIX98_PTYS"),
  required(
    "device-program",
    "4.15",
    "bpf(BPF_PROG_TYPE_CGROUP_DEVICE)",
    "which devices a container may use, on cgroup v2",
    "CONFIG_CGROUP_BPF, CONFIG_BPF_SYSCALL",
  ),
  replaced(
    "overlay-by-layer",
    "6.8",
    "fsconfig(lowerdir+)",
    "images of any number of layers",
    "mount(2), whose options hold about 125 layers",
  ),
  replaced("fchmodat2", "6.6", "fchmodat2", "modes of files while layers are unpacked", "chmod through /proc"),
  replaced("memfd-exec", "6.3", "memfd_create(MFD_EXEC)", "programs in memory files", "memory files without the flag"),
  replaced(
    "cgroup-kill",
    "5.14",
    "cgroup.kill",
    "ends of all of a container's processes at once",
    "signals one by one",
  ),
  replaced(
    "openat2-cached",
    "5.12",
    "openat2(RESOLVE_CACHED)",
    "checks of bind sources that never wait",
    "a separate process for the check",
  ),
  replaced(
    "clone-into-cgroup",
    "5.7",
    "clone3(CLONE_INTO_CGROUP)",
    "processes that start in their cgroup",
    "processes that move to their cgroup before they run a program",
  ),
  replaced(
    "keyrings",
    "2.6",
    "keyctl",
    "each container's own session keyring",
    "no session keyrings: nothing to separate",
  ),
];

export type FeatureState =
  | { readonly kind: "there" }
  /** `errno` is the kernel's answer: "ENOSYS". */
  | { readonly kind: "falls-back"; readonly errno: string; readonly fallback: string }
  | { readonly kind: "missing"; readonly errno: string }
  /** On this machine nothing uses it: there is no cgroup v2, or v1 does the work. */
  | { readonly kind: "not-used" };

export interface KernelReport {
  readonly release: string;
  readonly features: readonly { readonly feature: KernelFeature; readonly state: FeatureState }[];
}

/** @param tries errno of each try by name, 0 when it worked. A feature that was not tried is not used here. */
export function judgeKernel(release: string, tries: ReadonlyMap<string, number>): KernelReport {
  return {
    release,
    features: kernelFeatures.map((feature) => ({ feature, state: stateOf(feature, tries.get(feature.name)) })),
  };
}

function stateOf({ fallback }: KernelFeature, errno: number | undefined): FeatureState {
  if (errno === undefined) return { kind: "not-used" };
  if (errno === 0) return { kind: "there" };
  const name = errnoName(errno);
  return fallback === undefined ? { kind: "missing", errno: name } : { kind: "falls-back", errno: name, fallback };
}

/** "Linux 5.12 and newer; for read-only …". */
export function whereabouts({ since, purpose, option }: KernelFeature): string {
  return `Linux ${since} and newer${option === undefined ? "" : `; ${option}`}; for ${purpose}`;
}

/** @throws unavailable; the message names each missing call, the kernel that has it, and what the user can do */
export function requireKernel({ release, features }: KernelReport): void {
  const missing = features.flatMap(({ feature, state }) =>
    state.kind === "missing"
      ? [{ text: `${feature.call} (${whereabouts(feature)}): ${state.errno}`, errno: state.errno }]
      : [],
  );
  if (missing.length === 0) return;
  const refused = missing.every(({ errno }) => errno === "EPERM" || errno === "EACCES");
  const out = refused
    ? "run the daemon with all capabilities and without a filter of system calls"
    : `use a kernel of ${oldestKernel} or newer, and no filter of system calls around the daemon`;
  throw new EngineError(
    "unavailable",
    `this kernel (${release}) lacks features that containers need: ${missing.map(({ text }) => text).join("; ")}: ${out} (fathom check shows all of it)`,
  );
}

/** The tries that need cgroups: errno by name. */
export function tryCgroupFeatures(
  { hierarchies }: HierarchySet,
  sys: Pick<Sys, "bpfLoadDeviceProgram" | "close">,
  fs: Pick<CgroupFileSystem, "directories" | "exists"> = hostFileSystem,
): Map<string, number> {
  const tries = new Map<string, number>();
  const unified = unifiedOf(hierarchies);
  if (unified === undefined) return tries;
  // The root does not have this file. When there is no other cgroup yet, the feature is checked when it is needed.
  const other = fs.directories(unified.mountPoint)[0];
  if (other !== undefined) tries.set("cgroup-kill", fs.exists(`${unified.mountPoint}/${other}/cgroup.kill`) ? 0 : 2);
  if (hierarchies.some(({ controllers }) => controllers.includes("devices"))) return tries;
  try {
    sys.close(sys.bpfLoadDeviceProgram(encodeInstructions(deviceInstructions(allDevices))));
    tries.set("device-program", 0);
  } catch (error) {
    if (!isSysError(error)) throw error;
    tries.set("device-program", error.errno);
  }
  return tries;
}
