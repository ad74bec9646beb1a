/** The words for one operation of a plan. */
import { unreachable } from "@fathom/base";
import { capabilitiesOf } from "../compile/capabilities.ts";
import type { MountAttributes, MountIdMap, Operation, Propagation } from "./plan.ts";

/** One operation in words. Lines after the first are details. Error messages also use it: "mount proc on /proc …". */
export function describeOperation(operation: Operation): string {
  switch (operation.kind) {
    case "join-namespace":
      return `join the ${operation.namespace} namespace ${operation.path}`;
    case "join-process":
      return `join the ${operation.namespaces.join(", ")} namespace${operation.namespaces.length === 1 ? "" : "s"} of the container`;
    case "meet":
      return `let the caller work now, until it writes into ${operation.proceed}`;
    case "hook":
      return `run the ${operation.stage} hook ${operation.path}`;
    case "root-propagation":
      return `${operation.path === undefined ? "host mounts seen here" : `the mount ${operation.path}`}: ${propagationText(operation.propagation)}`;
    case "attach-root":
      return describeRoot(operation);
    case "mount": {
      const options = operation.options.map((pair) => pair.join("=")).join(",");
      return (
        `mount a new ${operation.type}${operation.source === operation.type ? "" : ` ("${operation.source}")`} on ${operation.target}` +
        attributesText(operation.attributes) +
        (options === "" ? "" : `, options ${options}`) +
        (operation.copyUp === true ? ", filled with what the image has there" : "") +
        idMapText(operation.idMap) +
        (operation.propagation === undefined ? "" : `, ${propagationText(operation.propagation)}`)
      );
    }
    case "bind":
      return (
        `show ${operation.sourceInRoot === true ? "the container's" : "the host's"} ${operation.source}${operation.subpath === undefined ? "" : `, and of it ${operation.subpath},`} at ${operation.target}` +
        (operation.recursive ? "" : ", without what is mounted below it") +
        idMapText(operation.idMap) +
        attributesText(operation.attributes) +
        (operation.propagation === undefined ? "" : `, ${propagationText(operation.propagation)}`)
      );
    case "mount-attributes":
      return (
        `change the mount ${operation.target}` +
        attributesText(operation.attributes) +
        (operation.propagation === undefined ? "" : `, ${propagationText(operation.propagation)}`)
      );
    case "make-directory":
      return `make the directory ${operation.path} if it is missing, mode ${octal(operation.mode)}${ownerText(operation.uid, operation.gid)}`;
    case "make-node":
      return (
        `make the ${operation.type === "fifo" ? "FIFO" : `${operation.type} device`} ${operation.path}` +
        (operation.type === "fifo" ? "" : ` (${operation.major}:${operation.minor})`) +
        `, mode ${octal(operation.mode)}${ownerText(operation.uid, operation.gid)}`
      );
    case "make-symlink":
      return `link ${operation.path} to ${operation.target}`;
    case "bind-console":
      return `put the terminal at ${operation.path}`;
    case "mask":
      return `hide ${operation.path}`;
    case "readonly-path":
      return `make ${operation.path} read-only`;
    case "readonly-root":
      return "make the root file system read-only";
    case "pivot-root":
      return "make it the root, and let go of the host's (pivot_root)";
    case "chroot":
      return "make it the root (chroot)";
    case "sysctl":
      return `set the kernel parameter ${operation.key} to ${JSON.stringify(operation.value)}`;
    case "set-hostname":
      return `set the host name to ${operation.name}`;
    case "set-domainname":
      return `set the NIS domain name to ${operation.name}`;
    case "loopback-up":
      return "bring the loopback interface up";
    case "rlimit":
      return `limit ${operation.resource} to ${limitText(operation.soft)} (at most ${limitText(operation.hard)})`;
    case "oom-score-adj":
      return `set the out-of-memory score adjustment to ${operation.value}`;
    case "scheduler":
      return `use the scheduling policy ${operation.policy}, nice ${operation.nice}, priority ${operation.priority}`;
    case "io-priority":
      return `use the I/O priority 0x${operation.value.toString(16)}`;
    case "cpu-affinity":
      return `use only the processors ${operation.cpus.join(", ")}`;
    case "umask":
      return `set the umask to ${octal(operation.mask)}`;
    case "personality":
      return `set the personality to 0x${operation.persona.toString(16)}`;
    case "session-keyring":
      return `start with an empty session keyring named ${operation.name}`;
    case "new-session":
      return "start a session of its own";
    case "set-user":
      return `become user ${operation.uid}, group ${operation.gid}${operation.groups.length === 0 ? "" : `, further groups ${operation.groups.join(", ")}`}`;
    case "bounding-set":
      return operation.keep === 0n
        ? "drop all capabilities permanently"
        : `keep no more than the capabilities ${capabilitiesText(operation.keep)}; drop all others permanently`;
    case "capabilities":
      return describeCapabilities(operation);
    case "no-new-privileges":
      return "gain no rights from set-uid programs from here on (no_new_privs)";
    case "seccomp":
      return `filter system calls with a seccomp program of ${operation.program.length / 8} instructions`;
    case "working-directory":
      return `go to ${operation.path}${operation.create ? ", made if it is missing" : ""}`;
    case "wait-start":
      return "wait to be started";
    case "find-program":
      return `look for the program ${operation.argv[0] ?? ""}`;
    case "exec":
      return describeExec(operation);
    default:
      return unreachable(operation);
  }
}

function describeRoot(operation: Extract<Operation, { kind: "attach-root" }>): string {
  const { source } = operation;
  if (source.kind === "directory") return `take the directory ${source.path} as root, at ${operation.at}`;
  const lines = [`lay the image's layers over each other as root (overlay), at ${operation.at}`];
  if (source.upper !== undefined) lines.push(`writes go to ${source.upper}`);
  lines.push(...source.lower.map((path) => `layer ${path}`));
  return lines.join("\n");
}

function describeCapabilities(operation: Extract<Operation, { kind: "capabilities" }>): string {
  const { effective, permitted, inheritable, ambient } = operation;
  let text = permitted === 0n ? "hold no capability" : `hold the capabilities ${capabilitiesText(permitted)}`;
  if (effective !== permitted) text += `; in effect ${capabilitiesText(effective)}`;
  if (inheritable !== 0n) text += `; inheritable ${capabilitiesText(inheritable)}`;
  if (ambient !== 0n) text += `; ambient ${capabilitiesText(ambient)}`;
  return text;
}

function describeExec(operation: Extract<Operation, { kind: "exec" }>): string {
  const lines = [
    `execute ${operation.argv.map(quote).join(" ")}${operation.init === true ? ", as child of a small init" : ""}`,
  ];
  if (operation.candidates.length !== 1 || operation.candidates[0] !== operation.argv[0])
    lines.push(`looked for at ${operation.candidates.join(", ") || "no place: PATH is empty"}`);
  lines.push(...operation.env.map((entry) => `env ${entry.replaceAll("\n", String.raw`\n`)}`));
  return lines.join("\n");
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function idMapText(map: MountIdMap | undefined): string {
  if (map === undefined) return "";
  const first = map.uids[0];
  return `, with mapped owners${first === undefined ? "" : ` (user ${first.containerId} is ${first.hostId} …)`}`;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

function ownerText(uid = 0, gid = 0): string {
  return uid === 0 && gid === 0 ? "" : `, owner ${uid}:${gid}`;
}

function limitText(value: bigint): string {
  return value === 0xffff_ffff_ffff_ffffn ? "unlimited" : String(value);
}

const attributeText: Readonly<Record<string, string>> = { readonly: "read-only" };

function attributesText(attributes: MountAttributes): string {
  const set = attributes.set.map((name) => attributeText[name] ?? name);
  const clear = (attributes.clear ?? []).map((name) => `not ${attributeText[name] ?? name}`);
  const all = [...set, ...clear];
  return all.length === 0 ? "" : `, ${all.join(", ")}${attributes.recursive === true ? " (with all below it)" : ""}`;
}

function propagationText(propagation: Propagation): string {
  const kind = propagation.replace(/^r(?=private|slave|shared|unbindable)/, "");
  const meaning: Readonly<Record<string, string>> = {
    private: "later mounts neither come in nor go out",
    slave: "later mounts of the host come in, none goes out",
    shared: "later mounts come in and go out",
    unbindable: "cannot be bound elsewhere",
  };
  return `${meaning[kind] ?? kind} (${propagation})`;
}

function capabilitiesText(mask: bigint): string {
  const names = capabilitiesOf(mask).map((name) => name.replace(/^CAP_/, "").toLowerCase());
  return names.length === 0 ? "none" : names.join(" ");
}
