/**
 * A launch plan's operations in the binary form that fathom-init reads (`native/init/plan.h` names the fields of each). Names become
 * numbers here: fathom-init knows flags, not words.
 */
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
  MOUNT_ATTR__ATIME,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from "@fathom/sys";
import { EngineError, unreachable } from "@fathom/base";
import type {
  LaunchPlan,
  MountAttribute,
  MountAttributes,
  NamespaceKind,
  Operation,
  Propagation,
  Stem,
} from "./plan.ts";
import { sysctlPath } from "../compile/sysctls.ts";
import { WireWriter } from "./wire.ts";

const magic = 0x4e4c5046;
const version = 2;
const noId = 0xffffffff;
/** As PLAN_LIMIT in plan.h: arguments and environment may be large, nothing else is. */
export const planLimitBytes = 8 << 20;
/** As PLAN_OPERATIONS_LIMIT, PLAN_LIST_LIMIT and the groups' limit in plan.h and plan.c; the last is the kernel's NGROUPS_MAX. */
const operationsLimit = 16_384;
const listLimit = 262_144;
const groupsLimit = 65_536;

/** CLONE_NEW* of clone(2). */
const namespaceFlags: Readonly<Record<NamespaceKind, number>> = {
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
const propagationFlags: Readonly<Record<Propagation, number>> = {
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
const attributeFlags: Readonly<Record<MountAttribute, number>> = {
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
const accessTimeAttributes: ReadonlySet<MountAttribute> = new Set(["relatime", "noatime", "strictatime"]);

/** RLIMIT_* of getrlimit(2), as x86-64 and arm64 have them. */
const resourceNumbers: Readonly<Record<string, number>> = {
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
const kinds: Readonly<Record<Operation["kind"], number>> = {
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
};

/** S_IFMT bits of inode(7). */
const nodeTypes = { character: 0o020000, block: 0o060000, fifo: 0o010000 } as const;
const createKinds = { directory: 1, file: 2 } as const;
const bindFlags = { sourceInRoot: 1, recursive: 2, create: 4 } as const;

/** Bit mask of CLONE_NEW* for a set of namespaces. */
export function namespaceMask(namespaces: readonly NamespaceKind[]): number {
  return namespaces.reduce((mask, kind) => mask | namespaceFlags[kind], 0);
}

function attributes(writer: WireWriter, { set, clear = [], recursive }: MountAttributes): void {
  const mask = (names: readonly MountAttribute[]): number =>
    names.reduce((bits, name) => bits | attributeFlags[name], 0);
  // The kernel wants the whole access time field cleared whenever one of its values is set.
  const touchesAccessTime = [...set, ...clear].some((name) => accessTimeAttributes.has(name));
  writer.u64(BigInt(mask(set)));
  writer.u64(BigInt(touchesAccessTime ? mask(clear) | MOUNT_ATTR__ATIME : mask(clear)));
  writer.u32(recursive === true ? 1 : 0);
}

function propagationBits(propagation: Propagation | undefined): number {
  return propagation === undefined ? 0 : propagationFlags[propagation];
}

function texts(writer: WireWriter, items: readonly string[]): void {
  writer.list(items, (item) => writer.text(item));
}

function payload(writer: WireWriter, operation: Operation): void {
  switch (operation.kind) {
    case "join-namespace":
      writer.u32(namespaceFlags[operation.namespace]).text(operation.path);
      return;
    case "root-propagation":
      writer.u32(propagationFlags[operation.propagation]).text(operation.path ?? "");
      return;
    case "attach-root":
      writer.u32(operation.source.kind === "overlay" ? 1 : 0);
      writer.text(operation.source.kind === "overlay" ? "" : operation.source.path).text(operation.at);
      return;
    case "mount":
      writer.text(operation.type).text(operation.source);
      writer.list(operation.options, ([key, value]) =>
        writer
          .u32(value === undefined ? 0 : 1)
          .text(key)
          .text(value ?? ""),
      );
      attributes(writer, operation.attributes);
      writer.text(operation.target).u32(operation.create === undefined ? 0 : createKinds[operation.create]);
      writer.u32(propagationBits(operation.propagation)).u32(operation.copyUp === true ? 1 : 0);
      return;
    case "bind":
      writer.text(operation.source).text(operation.subpath ?? "");
      writer.u32(
        (operation.sourceInRoot === true ? bindFlags.sourceInRoot : 0) |
          (operation.recursive ? bindFlags.recursive : 0) |
          (operation.create ? bindFlags.create : 0),
      );
      attributes(writer, operation.attributes);
      writer.u32(propagationBits(operation.propagation)).text(operation.target);
      return;
    case "mount-attributes":
      writer.text(operation.target);
      attributes(writer, operation.attributes);
      writer.u32(propagationBits(operation.propagation));
      return;
    case "make-directory":
      writer.text(operation.path).u32(operation.mode);
      writer.u32(operation.uid ?? noId).u32(operation.gid ?? noId);
      return;
    case "make-node":
      writer.text(operation.path).u32(operation.mode | nodeTypes[operation.type]);
      writer.u32(operation.major).u32(operation.minor).u32(operation.uid).u32(operation.gid);
      return;
    case "make-symlink":
      writer
        .text(operation.path)
        .text(operation.target)
        .u32(operation.replace === true ? 1 : 0);
      return;
    case "bind-console":
    case "mask":
    case "readonly-path":
      writer.text(operation.path);
      return;
    case "readonly-root":
    case "pivot-root":
    case "chroot":
    case "loopback-up":
    case "new-session":
    case "no-new-privileges":
    case "wait-start":
      return;
    case "sysctl":
      writer.text(sysctlPath(operation.key)).text(operation.value);
      return;
    case "set-hostname":
    case "set-domainname":
    case "session-keyring":
      writer.text(operation.name);
      return;
    case "rlimit": {
      const number = resourceNumbers[operation.resource];
      if (number === undefined)
        throw new EngineError("invalid-argument", `unknown resource limit "${operation.resource}"`);
      writer.u32(number).u64(operation.soft).u64(operation.hard);
      return;
    }
    case "oom-score-adj":
      writer.u32(operation.value >>> 0);
      return;
    case "umask":
      writer.u32(operation.mask);
      return;
    case "personality":
      writer.u32(operation.persona);
      return;
    case "set-user":
      writer.u32(operation.uid).u32(operation.gid);
      writer.list(operation.groups, (group) => writer.u32(group));
      return;
    case "bounding-set":
      writer.u64(operation.keep);
      return;
    case "capabilities":
      writer.u64(operation.effective).u64(operation.permitted).u64(operation.inheritable).u64(operation.ambient);
      return;
    case "seccomp":
      writer.bytes(operation.program).u32(operation.flags);
      return;
    case "working-directory":
      writer.text(operation.path).u32(operation.create ? 1 : 0);
      return;
    case "exec":
      texts(writer, operation.candidates);
      texts(writer, operation.argv);
      texts(writer, operation.env);
      writer.u32(operation.init === true ? 1 : 0);
      return;
    default:
      unreachable(operation);
  }
}

/**
 * The operations and the terminal of a plan.
 * @throws invalid-argument for a NUL in a text, an unknown resource limit, or a plan over `planLimitBytes`.
 */
export function encodePlan(plan: Pick<LaunchPlan, "operations" | "terminal">): Uint8Array {
  checkCounts(plan.operations);
  const writer = new WireWriter(16 << 10);
  writer.u32(magic).u32(version).u32(0).u32(plan.operations.length);
  writer.u16(plan.terminal === null ? 0 : 1);
  writer
    .u16(plan.terminal?.rows ?? 0)
    .u16(plan.terminal?.columns ?? 0)
    .u16(0);
  for (const operation of plan.operations) {
    writer.u32(kinds[operation.kind]).u32(0);
    const start = writer.length;
    payload(writer, operation);
    writer.patchU32(start - 4, writer.length - start);
  }
  if (writer.length > planLimitBytes)
    throw new EngineError("invalid-argument", "argument list too long: arguments and environment exceed 8 MiB");
  writer.patchU32(8, writer.length);
  return writer.finish();
}

/** @throws invalid-argument for what fathom-init would take for a broken plan */
function checkCounts(operations: readonly Operation[]): void {
  const check = (count: number, limit: number, what: string): void => {
    if (count > limit) throw new EngineError("invalid-argument", `${count} ${what}: at most ${limit} are possible`);
  };
  check(operations.length, operationsLimit, "mounts, devices, masked and read-only paths, sysctls and ulimits in sum");
  for (const operation of operations) {
    if (operation.kind === "set-user") check(operation.groups.length, groupsLimit, "additional groups");
    if (operation.kind !== "exec") continue;
    check(operation.argv.length, listLimit, "arguments");
    check(operation.env.length, listLimit, "environment variables");
  }
}

/** The stem as PREPARE and EXEC carry it: namespaces, cgroup files, the pid namespace to be born in, id maps as the kernel reads them. */
export function encodeStem(writer: WireWriter, stem: Stem): void {
  const map = (entries: Stem["uidMap"] = []): string =>
    entries.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join("");
  writer.u32(namespaceMask(stem.newNamespaces));
  texts(writer, stem.cgroupProcs);
  writer
    .text(stem.joinPidNamespace ?? "")
    .text(map(stem.uidMap))
    .text(map(stem.gidMap));
}
