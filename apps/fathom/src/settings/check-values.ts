/** Values of options that are well formed and still make no sense: told at the start, not when the first container needs them. */
import { readFileSync } from "node:fs";
import { isIP, isIPv4 } from "node:net";
import { EngineError, messageOf } from "@fathom/base";

type Values = ReadonlyMap<string, unknown>;

function invalid(option: string, value: unknown, reason: string): EngineError {
  return new EngineError("invalid-argument", `invalid value ${JSON.stringify(value)} for ${option}: ${reason}`);
}

function list(values: Values, option: string): readonly string[] {
  return (values.get(option) as readonly string[] | undefined) ?? [];
}

/** "172.30.0.1/16" → its prefix length; undefined for anything else. */
function ipv4Prefix(text: string): number | undefined {
  const match = /^([^/]+)\/(\d{1,2})$/.exec(text);
  if (match === null || !isIPv4(match[1]!) || Number(match[2]) > 32) return undefined;
  return Number(match[2]);
}

/** @throws invalid-argument with the option, the value and what it should be */
export function checkValues(values: Values): void {
  for (const option of ["dns", "host-gateway-ip"])
    for (const address of list(values, option))
      if (isIP(address) === 0) throw invalid(option, address, "it is not an IP address");
  const bindAddress = values.get("ip");
  if (typeof bindAddress === "string" && isIP(bindAddress) === 0)
    throw invalid("ip", bindAddress, "it is not an IP address");
  for (const pool of (values.get("default-address-pool") as readonly { base: string; size: number }[] | undefined) ??
    []) {
    const prefix = ipv4Prefix(pool.base);
    if (prefix === undefined)
      throw invalid("default-address-pool", pool.base, "the base must be an IPv4 subnet, as in 172.30.0.0/16");
    if (pool.size < prefix || pool.size > 30)
      throw invalid(
        "default-address-pool",
        pool.size,
        `the size must be a prefix length from ${prefix} (that of the base) to 30`,
      );
  }
  for (const registry of list(values, "insecure-registry")) {
    if (registry.includes("://")) throw invalid("insecure-registry", registry, "it should not contain '://'");
    if (!/^[\w.:[\]/-]+$/.test(registry))
      throw invalid("insecure-registry", registry, "use host, host:port or a subnet");
  }
  checkGroup(values.get("group"));
}

/** The default group may be missing; one that was asked for may not. */
function checkGroup(group: unknown): void {
  if (typeof group !== "string" || group === "" || group === "docker" || /^\d+$/.test(group)) return;
  let groups: string;
  try {
    groups = readFileSync("/etc/group", "utf8");
  } catch (error) {
    throw invalid("group", group, messageOf(error));
  }
  if (!groups.split("\n").some((line) => line.startsWith(`${group}:`)))
    throw invalid("group", group, "there is no such group in /etc/group");
}
