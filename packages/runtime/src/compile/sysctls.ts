/** Which kernel parameters a container may set: those that belong to a namespace of its own. Source: namespaces(7) and its pages. */
import { EngineError } from "@fathom/base";
import type { NamespaceKind } from "../plan/plan.ts";

const ipcParameters: ReadonlySet<string> = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

/**
 * The parameter's path below /proc/sys. A key may be written with dots or with slashes. The first of either in the key is the separator; the
 * other may be part of a name ("net/ipv4/conf/eth0.1/forwarding"), as sysctl(8) reads it.
 */
export function sysctlPath(key: string): string {
  const first = /[./]/.exec(key)?.[0];
  const path = first === "/" ? key : key.replace(/[./]/g, (separator) => (separator === "." ? "/" : "."));
  const parts = path.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..") || key.includes("\0"))
    throw new EngineError("invalid-argument", `linux.sysctl: "${key}" is not the name of a kernel parameter`);
  return path;
}

function refuse(message: string): never {
  throw new EngineError("invalid-argument", message);
}

/** Throws "invalid-argument" when `key` belongs to a namespace that the container does not have for itself. */
export function checkSysctl(key: string, own: ReadonlySet<NamespaceKind>): void {
  const name = sysctlPath(key).split("/").join(".");
  if (ipcParameters.has(name) || name.startsWith("fs.mqueue.")) {
    if (!own.has("ipc")) refuse(`sysctl "${name}" is not allowed in the hosts ipc namespace`);
  } else if (name.startsWith("net.")) {
    if (!own.has("network")) refuse(`sysctl "${name}" not allowed in host network namespace`);
  } else if (name === "kernel.domainname" && own.has("uts")) {
    return;
  } else if (name === "kernel.hostname" && own.has("uts")) {
    refuse(`sysctl "${name}" is not allowed as it conflicts with the OCI "hostname" field`);
  } else if (name.startsWith("user.")) {
    if (!own.has("user")) refuse(`setting ucounts without a user namespace not allowed: ${name}`);
  } else {
    refuse(`sysctl "${name}" is not in a separate kernel namespace`);
  }
}
