/**
 * Values of options that have the right form but make no sense, or that would need another engine: the error comes at the daemon's start, not
 * when the first container needs them.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { messageOf, type EngineError } from "@fathom/base";
import { checkLogSettings } from "@fathom/engine";
import { parseAddressPrefix } from "@fathom/spec";
import { daemonOptions } from "./daemon-options.ts";
import type { OptionValues } from "./option-values.ts";
import { invalid } from "./value-texts.ts";

function wrong(option: string, value: unknown, reason: string): EngineError {
  return invalid(`invalid value ${JSON.stringify(value)} for ${option}: ${reason}`);
}

/** Options that this engine does not support are allowed with the value that means "off". */
export function refuseUnsupported(values: OptionValues): void {
  for (const { flag, unsupported } of daemonOptions) {
    const value = values.get(flag)?.value;
    if (unsupported !== true || value === undefined || value === false || value === "" || value === 0) continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    throw invalid(`the option ${flag} is not supported yet`);
  }
}

/** @throws invalid-argument with the option, the value and the expected form */
export function checkValues(values: OptionValues): void {
  for (const flag of ["max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"]) {
    const value = values.number(flag);
    if (value !== undefined && value <= 0) throw invalid(`invalid ${flag.replaceAll("-", " ")}: ${value}`);
  }
  const storage = values.text("storage-driver");
  if (storage !== undefined && storage !== "overlay2" && storage !== "")
    throw invalid(`storage driver ${JSON.stringify(storage)} is not supported: overlay2 is the only one`);
  for (const entry of values.list("exec-opt"))
    if (entry !== "native.cgroupdriver=cgroupfs")
      throw invalid(`exec option ${JSON.stringify(entry)} is not supported: only native.cgroupdriver=cgroupfs`);
  const runtime = values.text("default-runtime");
  if (runtime !== undefined && !["", "fathom", "runc"].includes(runtime))
    throw invalid(`specified default runtime ${JSON.stringify(runtime)} does not exist`);
  if (values.text("bridge") === "none")
    throw invalid(
      `bridge "none" is not supported yet: the default bridge is always there; containers without a network take --network none`,
    );
  const bip = values.text("bip");
  if (bip !== undefined && bip !== "" && !isBridgeAddress(bip))
    throw invalid(
      `invalid bip ${JSON.stringify(bip)}: the bridge's own IPv4 address with its prefix length is needed, as 172.17.0.1/16`,
    );
  if (values.boolean("iptables") === false)
    throw invalid("iptables=false is not supported yet: published ports need the rules");
  for (const label of values.list("label")) if (!label.includes("=")) throw invalid(`bad attribute format: ${label}`);
  checkAddresses(values);
  checkRegistries(values);
  checkGroup(values.text("group"));
  try {
    checkLogSettings({
      Type: values.text("log-driver") ?? "json-file",
      Config: values.map("log-opt"),
    });
  } catch (error) {
    throw invalid(`log-driver and log-opt: ${messageOf(error)}`);
  }
}

function checkAddresses(values: OptionValues): void {
  for (const option of ["dns", "host-gateway-ip"])
    for (const address of values.list(option))
      if (isIP(address) === 0) throw wrong(option, address, "it is not an IP address");
  const bindAddress = values.text("ip");
  if (bindAddress !== undefined && isIP(bindAddress) === 0) throw wrong("ip", bindAddress, "it is not an IP address");
  for (const pool of values.pools("default-address-pool") ?? []) {
    const prefix = ipv4Prefix(pool.base);
    if (prefix === undefined)
      throw wrong("default-address-pool", pool.base, "the base must be an IPv4 subnet, as in 172.30.0.0/16");
    if (pool.size < prefix || pool.size > 30)
      throw wrong(
        "default-address-pool",
        pool.size,
        `the size must be a prefix length from ${prefix} (that of the base) to 30`,
      );
  }
}

function checkRegistries(values: OptionValues): void {
  for (const registry of values.list("insecure-registry")) {
    if (registry.includes("://")) throw wrong("insecure-registry", registry, "it should not contain '://'");
    if (!/^[\w.:[\]/-]+$/.test(registry)) throw wrong("insecure-registry", registry, "use host, host:port or a subnet");
  }
}

/** The default group may be missing; a group that the user named may not. */
function checkGroup(group: string | undefined): void {
  if (group === undefined || group === "" || group === "docker" || /^\d+$/.test(group)) return;
  let groups: string;
  try {
    groups = readFileSync("/etc/group", "utf8");
  } catch (error) {
    throw wrong("group", group, messageOf(error));
  }
  if (!groups.split("\n").some((line) => line.startsWith(`${group}:`)))
    throw wrong("group", group, "there is no such group in /etc/group");
}

/** "172.30.0.1/16" → its prefix length; undefined for anything else. */
function ipv4Prefix(text: string): number | undefined {
  const prefix = parseAddressPrefix(text);
  return prefix?.family === "ipv4" ? prefix.bits : undefined;
}

function isBridgeAddress(text: string): boolean {
  const prefix = ipv4Prefix(text);
  return prefix !== undefined && prefix >= 1 && prefix <= 30;
}
