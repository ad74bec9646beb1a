/** Linux capabilities: their numbers, their names and masks of them. Source: capabilities(7), linux/capability.h (6.18). */
import { EngineError } from "@fathom/base";

/** The index is the capability's number. */
export const capabilityNames = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
] as const;

const numbers = new Map<string, bigint>(capabilityNames.map((name, index) => [name, BigInt(index)]));

/** The mask of names such as "CAP_CHOWN". `where` is the name of the set in the error: "process.capabilities.bounding". */
export function capabilityMask(names: readonly string[], where: string): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = numbers.get(name);
    if (number === undefined) throw new EngineError("invalid-argument", `${where}: unknown capability: "${name}"`);
    mask |= 1n << number;
  }
  return mask;
}

/** Names in a mask, by number. A capability that is newer than this table is shown with its number: "CAP_41". */
export function capabilitiesOf(mask: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if ((mask & (1n << BigInt(bit))) !== 0n) names.push(capabilityNames[bit] ?? `CAP_${bit}`);
  }
  return names;
}
