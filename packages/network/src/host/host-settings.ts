/** Settings of the host's kernel that networks depend on. */
import { createHash } from "node:crypto";
import { parseEphemeralRange, type EphemeralRange } from "../ports/ephemeral-range.ts";
import { readProc, writeProc, type ProcSys } from "./proc.ts";

/**
 * IP forwarding, without which containers reach nothing outside.
 * @param allowed False (--ip-forward=false) only checks and reports.
 * @returns `turnedOn`: it was off and is now on.
 */
export function setForwarding(
  sys: ProcSys,
  allowed: boolean,
): { readonly turnedOn: boolean; readonly warnings: readonly string[] } {
  const path = "/proc/sys/net/ipv4/ip_forward";
  if (readProc(sys, path)?.trim() !== "0") return { turnedOn: false, warnings: [] };
  if (!allowed) {
    const warning = "IPv4 forwarding is disabled: containers reach nothing outside (set net.ipv4.ip_forward=1)";
    return { turnedOn: false, warnings: [warning] };
  }
  writeProc(sys, path, "1");
  const warning =
    "IPv4 forwarding was off and is on now (net.ipv4.ip_forward=1); packets between interfaces that are no bridges are not forwarded";
  return { turnedOn: true, warnings: [warning] };
}

/**
 * Forwarding of IPv6, for the first network that has it. A host that forwards ignores router advertisements, from which it may have its own
 * addresses and default route, unless an interface says otherwise: the interfaces that accept them keep accepting them.
 */
export function setIpv6Forwarding(
  sys: ProcSys,
  allowed: boolean,
  interfaces: readonly string[],
): { readonly turnedOn: boolean; readonly warnings: readonly string[] } {
  const directory = "/proc/sys/net/ipv6/conf";
  if (readProc(sys, `${directory}/all/forwarding`)?.trim() !== "0") return { turnedOn: false, warnings: [] };
  if (!allowed) {
    const warning =
      "IPv6 forwarding is disabled: containers reach nothing outside with IPv6 (set net.ipv6.conf.all.forwarding=1)";
    return { turnedOn: false, warnings: [warning] };
  }
  for (const name of interfaces)
    if (readProc(sys, `${directory}/${name}/accept_ra`)?.trim() === "1")
      writeProc(sys, `${directory}/${name}/accept_ra`, "2");
  writeProc(sys, `${directory}/all/forwarding`, "1");
  const warning =
    "IPv6 forwarding was off and is on now (net.ipv6.conf.all.forwarding=1); packets between interfaces that are no bridges are not forwarded";
  return { turnedOn: true, warnings: [warning] };
}

/** The range from which the kernel itself takes ports, and from which random host ports come. */
export function ephemeralRange(sys: ProcSys): EphemeralRange {
  const read = (name: string): string => readProc(sys, `/proc/sys/net/ipv4/${name}`) ?? "";
  return parseEphemeralRange(read("ip_local_port_range"), read("ip_local_reserved_ports"));
}

/** Whether packets between ports of a bridge go through the rule set (br_netfilter). */
export function filtersBridgedPackets(sys: ProcSys): boolean {
  return readProc(sys, "/proc/sys/net/bridge/bridge-nf-call-iptables")?.trim() === "1";
}

/** False when the kernel was started without IPv6. */
export function hasIpv6(sys: ProcSys): boolean {
  return readProc(sys, "/proc/sys/net/ipv6/bindv6only") !== undefined;
}

/**
 * The prefix of this host for addresses that are used nowhere else (RFC 4193): fd and forty bits that depend on the identity of the host, so
 * that two hosts have different ones and a host always has the same.
 */
export function uniqueLocalPrefix(sys: ProcSys): string {
  const identity = readProc(sys, "/etc/machine-id") ?? readProc(sys, "/proc/sys/kernel/random/boot_id") ?? "";
  const digest = createHash("sha256").update(`unique local prefix of ${identity.trim()}`).digest("hex");
  return `fd${digest.slice(0, 2)}:${digest.slice(2, 6)}:${digest.slice(6, 10)}::/48`;
}
