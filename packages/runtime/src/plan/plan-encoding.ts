/**
 * A launch plan's operations in the binary form that fathom-init reads (`native/init/child/plan.h` names the fields of each). Names become numbers
 * here, because fathom-init knows only numbers.
 */
import { EngineError, unreachable } from "@fathom/base";
import { MOUNT_ATTR__ATIME } from "@fathom/sys";
import type {
  IdMapEntry,
  LaunchPlan,
  MountAttribute,
  MountAttributes,
  MountIdMap,
  NamespaceKind,
  Operation,
  Propagation,
  Stem,
} from "./plan.ts";
import {
  accessTimeAttributes,
  attributeFlags,
  bindFlags,
  createKinds,
  kinds,
  namespaceFlags,
  nodeTypes,
  propagationFlags,
  resourceNumbers,
} from "./plan-numbers.ts";
import { sysctlPath } from "../compile/sysctls.ts";
import { WireWriter } from "./wire.ts";

const magic = 0x4e4c5046;
const version = 2;
const noId = 0xffffffff;
/** As PLAN_LIMIT in plan.h: only arguments and environment can be this large. */
const planLimitBytes = 8 << 20;
/** As PLAN_OPERATIONS_LIMIT, PLAN_LIST_LIMIT and the limit of groups in plan.h and plan.c; the last is the kernel's NGROUPS_MAX. */
const operationsLimit = 16_384;
const listLimit = 262_144;
const groupsLimit = 65_536;

/** Bit mask of CLONE_NEW* for a set of namespaces. */
export function namespaceMask(namespaces: readonly NamespaceKind[]): number {
  return namespaces.reduce((mask, kind) => mask | namespaceFlags[kind], 0);
}

function attributes(writer: WireWriter, { set, clear = [], recursive }: MountAttributes): void {
  const mask = (names: readonly MountAttribute[]): number =>
    names.reduce((bits, name) => bits | attributeFlags[name], 0);
  // Whenever a value of the access-time field is set, the kernel requires that the whole field is cleared.
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

function mapText(entries: readonly IdMapEntry[] = []): string {
  return entries.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join("");
}

function mountIds(writer: WireWriter, map: MountIdMap | undefined): void {
  writer
    .text(mapText(map?.uids))
    .text(mapText(map?.gids))
    .u32(map?.recursive === true ? 1 : 0);
}

function processorBits(cpus: readonly number[]): Uint8Array {
  const bits = new Uint8Array(8 * Math.ceil((Math.max(0, ...cpus) + 1) / 64));
  for (const cpu of cpus) bits[cpu >> 3] = (bits[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  return bits;
}

function payload(writer: WireWriter, operation: Operation): void {
  switch (operation.kind) {
    case "join-namespace":
      writer.u32(namespaceFlags[operation.namespace]).text(operation.path);
      return;
    case "join-process":
      writer.u32(namespaceMask(operation.namespaces));
      return;
    case "meet":
      writer.text(operation.reached).text(operation.proceed);
      return;
    case "hook":
      writer.text(operation.path);
      texts(writer, operation.argv);
      texts(writer, operation.env);
      writer.u32(operation.timeoutMs).text(operation.before).text(operation.after);
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
      mountIds(writer, operation.idMap);
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
      mountIds(writer, operation.idMap);
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
    case "scheduler":
      writer
        .u32(operation.policy)
        .u32(operation.nice >>> 0)
        .u32(operation.priority)
        .u64(BigInt(operation.flags));
      writer.u64(operation.runtime).u64(operation.deadline).u64(operation.period);
      return;
    case "io-priority":
      writer.u32(operation.value);
      return;
    case "cpu-affinity":
      writer.bytes(processorBits(operation.cpus));
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
    case "find-program":
      texts(writer, operation.candidates);
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

/** @throws invalid-argument for what fathom-init would reject as a broken plan */
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

/** The stem as PREPARE and EXEC carry it: namespaces, cgroup files, the pid namespace for its process, id maps in the kernel's form. */
export function encodeStem(writer: WireWriter, stem: Stem): void {
  writer.u32(namespaceMask(stem.newNamespaces));
  texts(writer, stem.cgroupProcs);
  writer
    .text(stem.joinPidNamespace ?? "")
    .text(mapText(stem.uidMap))
    .text(mapText(stem.gidMap));
}

/** The offsets of a new time namespace, as PREPARE carries them: in the kernel's form. */
export function timeOffsetsText(offsets: Stem["timeOffsets"] = []): string {
  return offsets.map(({ clock, seconds, nanoseconds }) => `${clock} ${seconds} ${nanoseconds}\n`).join("");
}
