/** The numbers for a plan's names in its binary form: the kernel's own, and those of `native/init/child/plan.h`. */
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_RELATIME,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from "@fathom/sys";
import type { MountAttribute, NamespaceKind, Operation, Propagation } from "./plan.ts";

/** CLONE_NEW* of clone(2). */
export const namespaceFlags: Readonly<Record<NamespaceKind, number>> = {
  mount: CLONE_NEWNS,
  pid: CLONE_NEWPID,
  network: CLONE_NEWNET,
  ipc: CLONE_NEWIPC,
  uts: CLONE_NEWUTS,
  cgroup: CLONE_NEWCGROUP,
  user: CLONE_NEWUSER,
  time: CLONE_NEWTIME,
};

/** MS_* of mount(2). */
export const propagationFlags: Readonly<Record<Propagation, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
  shared: MS_SHARED,
  rshared: MS_SHARED | MS_REC,
  unbindable: MS_UNBINDABLE,
  runbindable: MS_UNBINDABLE | MS_REC,
};

/** MOUNT_ATTR_* of mount_setattr(2). The access time modes are values of one field. */
export const attributeFlags: Readonly<Record<MountAttribute, number>> = {
  readonly: MOUNT_ATTR_RDONLY,
  nosuid: MOUNT_ATTR_NOSUID,
  nodev: MOUNT_ATTR_NODEV,
  noexec: MOUNT_ATTR_NOEXEC,
  relatime: MOUNT_ATTR_RELATIME,
  noatime: MOUNT_ATTR_NOATIME,
  strictatime: MOUNT_ATTR_STRICTATIME,
  nodiratime: MOUNT_ATTR_NODIRATIME,
  nosymfollow: MOUNT_ATTR_NOSYMFOLLOW,
};
export const accessTimeAttributes: ReadonlySet<MountAttribute> = new Set(["relatime", "noatime", "strictatime"]);

/** RLIMIT_* of getrlimit(2), as x86-64 and arm64 have them. */
export const resourceNumbers: Readonly<Record<string, number>> = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
};

/** Operation numbers of plan.h. */
export const kinds: Readonly<Record<Operation["kind"], number>> = {
  "join-namespace": 1,
  "root-propagation": 2,
  "attach-root": 3,
  mount: 4,
  bind: 5,
  "mount-attributes": 6,
  "make-directory": 7,
  "make-node": 8,
  "make-symlink": 9,
  "bind-console": 10,
  mask: 11,
  "readonly-path": 12,
  "readonly-root": 13,
  "pivot-root": 14,
  chroot: 15,
  sysctl: 16,
  "set-hostname": 17,
  "set-domainname": 18,
  "loopback-up": 19,
  rlimit: 20,
  "oom-score-adj": 21,
  umask: 22,
  personality: 23,
  "session-keyring": 24,
  "new-session": 25,
  "set-user": 26,
  "bounding-set": 27,
  capabilities: 28,
  "no-new-privileges": 29,
  seccomp: 30,
  "working-directory": 31,
  "wait-start": 32,
  exec: 33,
  "join-process": 34,
  meet: 35,
  hook: 36,
  "find-program": 37,
  scheduler: 38,
  "io-priority": 39,
  "cpu-affinity": 40,
};

/** S_IFMT bits of inode(7). */
export const nodeTypes = { character: 0o020000, block: 0o060000, fifo: 0o010000 } as const;
export const createKinds = { directory: 1, file: 2 } as const;
export const bindFlags = { sourceInRoot: 1, recursive: 2, create: 4 } as const;
