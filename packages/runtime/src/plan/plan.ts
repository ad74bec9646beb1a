/**
 * The launch plan: what the launcher does between clone and exec, as plain data.
 *
 * The runtime compiles an OCI configuration into it. Unit tests compare it without root, `fathom explain` prints it, and `fathom-init`
 * interprets its binary form without decisions of its own. A plan has two parts, because the first can be done before anybody knows which
 * container it is for (the launcher keeps a few prepared stems):
 *
 * - the stem: the process and its new namespaces, in its cgroups;
 * - the operations: executed in that process, in order; the first failure ends it and is reported with the operation's index.
 *
 * Every target path is resolved inside the root that `attach-root` made, through descriptors (openat2 RESOLVE_IN_ROOT), never through path
 * strings. Sources are host paths, opened in the host's view before `pivot-root`.
 */
import type { MountFlag } from "@fathom/spec";

export const namespaceKinds = ["mount", "pid", "network", "ipc", "uts", "cgroup", "user", "time"] as const;
export type NamespaceKind = (typeof namespaceKinds)[number];

export interface Stem {
  /** New namespaces, made by one clone3; the cgroup namespace after the cgroups are joined. */
  readonly newNamespaces: readonly NamespaceKind[];
  /** Files to write "0" to, in order: `cgroup.procs` of cgroup v2; on v1 `tasks` of each hierarchy. */
  readonly cgroupProcs: readonly string[];
  /** Pid namespace for the process (path of a namespace file), for pid mode `container:`. */
  readonly joinPidNamespace?: string;
  /** Id maps, which the supervisor writes, when "user" is new. */
  readonly uidMap?: readonly IdMapEntry[];
  readonly gidMap?: readonly IdMapEntry[];
  /** Of a new time namespace. */
  readonly timeOffsets?: readonly TimeOffset[];
}

export interface TimeOffset {
  readonly clock: "monotonic" | "boottime";
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

/** The owners of the files of a mount, mapped for its users only (mount_setattr(2), MOUNT_ATTR_IDMAP). */
export interface MountIdMap {
  readonly uids: readonly IdMapEntry[];
  readonly gids: readonly IdMapEntry[];
  /** With all mounts below it. */
  readonly recursive: boolean;
}

export interface IdMapEntry {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

/** Attributes of a mount: bits that mount_setattr sets and clears, in the whole tree when `recursive`. */
export interface MountAttributes {
  readonly set: readonly MountAttribute[];
  readonly clear?: readonly MountAttribute[];
  readonly recursive?: boolean;
}
export type MountAttribute = MountFlag;

export type Propagation =
  | "private"
  | "rprivate"
  | "slave"
  | "rslave"
  | "shared"
  | "rshared"
  | "unbindable"
  | "runbindable";

/** What is made when a mount's target is missing. */
export type TargetKind = "directory" | "file";

export type Operation =
  /** setns to a namespace file, a host path. */
  | { readonly kind: "join-namespace"; readonly namespace: NamespaceKind; readonly path: string }
  /**
   * Joins namespaces of a running process, which `LaunchRequest.rootFd` names (a descriptor of pidfd_open(2)), and takes its root. For an
   * additional process without a supervisor. The pid namespace is that of the stem.
   */
  | { readonly kind: "join-process"; readonly namespaces: readonly NamespaceKind[] }
  /** Writes a byte into the FIFO `reached`, and waits for one from the FIFO `proceed`: "y" to continue. Both are host paths, before `pivot-root`. */
  | { readonly kind: "meet"; readonly reached: string; readonly proceed: string }
  /**
   * Runs a program in the container's namespaces, with a JSON text as its input, and waits for its end; another exit code than 0 is a failure.
   * `before` and `after` are the text around the number of the container's process.
   */
  | {
      readonly kind: "hook";
      readonly stage: "createContainer" | "startContainer";
      readonly path: string;
      readonly argv: readonly string[];
      readonly env: readonly string[];
      /** 0: no limit. */
      readonly timeoutMs: number;
      readonly before: string;
      readonly after: string;
    }
  /**
   * Sets the propagation of the new namespace's mounts, before anything is mounted. `path` ("/" when absent) is a mount point of the host. With
   * "shared" on "/", a second operation makes the mount under `attach-root` private, so that no mount of the container appears on the host.
   */
  | { readonly kind: "root-propagation"; readonly propagation: Propagation; readonly path?: string }
  /** Puts the root file system in place: a detached mount, passed as a descriptor, or a bind of a host directory. */
  | {
      readonly kind: "attach-root";
      readonly source:
        | {
            readonly kind: "overlay";
            readonly lower: readonly string[];
            readonly upper?: string;
            readonly work?: string;
          }
        | { readonly kind: "directory"; readonly path: string };
      /** Host directory over which it is attached; it must exist, and nothing is written to it. */
      readonly at: string;
    }
  /** A new file system (fsopen, fsconfig, fsmount, move_mount). `options`: `[key]` is a flag. */
  | {
      readonly kind: "mount";
      readonly type: string;
      readonly source: string;
      readonly options: readonly (readonly [string] | readonly [string, string])[];
      readonly attributes: MountAttributes;
      readonly target: string;
      readonly create?: TargetKind;
      readonly propagation?: Propagation;
      /** First copies the target's content into the new file system (tmpfs over image content: `tmpcopyup`). */
      readonly copyUp?: boolean;
      readonly idMap?: MountIdMap;
    }
  /** A bind mount of a host path (or of a path in the container, with `sourceInRoot`). */
  | {
      readonly kind: "bind";
      readonly source: string;
      /** A path inside the source; links in it cannot lead outside of the source. */
      readonly subpath?: string;
      readonly sourceInRoot?: boolean;
      readonly recursive: boolean;
      readonly attributes: MountAttributes;
      readonly propagation?: Propagation;
      readonly target: string;
      /** A missing target is made with the same kind as the source. */
      readonly create: boolean;
      readonly idMap?: MountIdMap;
    }
  /** Changes the mount at `target` in the root (mount_setattr). For mounts that must be filled before they become read-only, and for "/" itself. */
  | {
      readonly kind: "mount-attributes";
      readonly target: string;
      readonly attributes: MountAttributes;
      readonly propagation?: Propagation;
    }
  /** Makes it with its parents, each with `mode`; what exists does not change. If a file has the name, it fails with ENOTDIR. */
  | {
      readonly kind: "make-directory";
      readonly path: string;
      readonly mode: number;
      readonly uid?: number;
      readonly gid?: number;
    }
  /** A device node or FIFO; missing parents are made (0755). An existing entry does not change. */
  | {
      readonly kind: "make-node";
      readonly path: string;
      readonly type: "character" | "block" | "fifo";
      readonly major: number;
      readonly minor: number;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  /** An existing entry does not change, unless `replace`. */
  | { readonly kind: "make-symlink"; readonly path: string; readonly target: string; readonly replace?: boolean }
  /** Binds the pty's slave over /dev/console. Only with a terminal. */
  | { readonly kind: "bind-console"; readonly path: string }
  /** Hides a path: /dev/null over a file, an empty read-only tmpfs over a directory. A missing path is no error. */
  | { readonly kind: "mask"; readonly path: string }
  /** Binds a path over itself read-only and keeps its other flags. A missing path is no error. */
  | { readonly kind: "readonly-path"; readonly path: string }
  /** Makes the root's own mount read-only and keeps its other flags. */
  | { readonly kind: "readonly-root" }
  | { readonly kind: "pivot-root" }
  /** chroot instead of pivot_root, when the host root is an initramfs. */
  | { readonly kind: "chroot" }
  /** Written through a private procfs, never through the container's own. `key` with dots or slashes. */
  | { readonly kind: "sysctl"; readonly key: string; readonly value: string }
  | { readonly kind: "set-hostname"; readonly name: string }
  | { readonly kind: "set-domainname"; readonly name: string }
  | { readonly kind: "loopback-up" }
  | { readonly kind: "rlimit"; readonly resource: string; readonly soft: bigint; readonly hard: bigint }
  | { readonly kind: "oom-score-adj"; readonly value: number }
  /** sched_setattr(2): its numbers. */
  | {
      readonly kind: "scheduler";
      readonly policy: number;
      readonly nice: number;
      readonly priority: number;
      readonly flags: number;
      readonly runtime: bigint;
      readonly deadline: bigint;
      readonly period: bigint;
    }
  /** ioprio_set(2): class and priority as one number. */
  | { readonly kind: "io-priority"; readonly value: number }
  /** Numbers of the processors that it may use, within those of its cgroup. */
  | { readonly kind: "cpu-affinity"; readonly cpus: readonly number[] }
  | { readonly kind: "umask"; readonly mask: number }
  | { readonly kind: "personality"; readonly persona: number }
  /** keyctl(JOIN_SESSION_KEYRING): the container gets no keys of the host's session. ENOSYS and EDQUOT are ignored. */
  | { readonly kind: "session-keyring"; readonly name: string }
  /** setsid, and the pty as controlling terminal if there is one. */
  | { readonly kind: "new-session" }
  /** setgroups, setresgid, setresuid; capabilities are kept during the change. */
  | { readonly kind: "set-user"; readonly uid: number; readonly gid: number; readonly groups: readonly number[] }
  /** Drops the bounding set, before `set-user`. Capability numbers as bit masks. */
  | { readonly kind: "bounding-set"; readonly keep: bigint }
  | {
      readonly kind: "capabilities";
      readonly effective: bigint;
      readonly permitted: bigint;
      readonly inheritable: bigint;
      readonly ambient: bigint;
    }
  | { readonly kind: "no-new-privileges" }
  /** Loads a BPF program: sock_filter instructions, 8 bytes each. `flags`: SECCOMP_FILTER_FLAG_*. */
  | { readonly kind: "seccomp"; readonly program: Uint8Array; readonly flags: number }
  /** chdir, with the rights at this point of the plan; fails when the directory is outside the root. `create` makes it before (0755). */
  | { readonly kind: "working-directory"; readonly path: string; readonly create: boolean }
  /** Fails as `exec` when none of the candidates can be executed: for a process that waits at `wait-start`, before it waits. */
  | { readonly kind: "find-program"; readonly candidates: readonly string[]; readonly argv: readonly string[] }
  /** Waits for the supervisor's start message (OCI create / start). */
  | { readonly kind: "wait-start" }
  /**
   * Tries each candidate in turn with execve. Docker's words: none exists → ENOENT; a directory or not executable → EACCES.
   * `init` (the `--init` of Docker): fathom-init itself, from its descriptor, runs as pid 1, reaps and forwards signals.
   */
  | {
      readonly kind: "exec";
      readonly candidates: readonly string[];
      readonly argv: readonly string[];
      readonly env: readonly string[];
      readonly init?: boolean;
    };

export type OperationKind = Operation["kind"];

export interface LaunchPlan {
  readonly version: 1;
  readonly stem: Stem;
  readonly operations: readonly Operation[];
  readonly terminal: { readonly rows: number; readonly columns: number } | null;
}
