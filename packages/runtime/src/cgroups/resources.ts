/** OCI `linux.resources` → the engine's own limits. */
import { EngineError } from "@fathom/base";
import type { LinuxResources } from "@fathom/spec";
import type { DeviceRule, Resources } from "./contract.ts";
import { settingsFromOci } from "./settings.ts";

/**
 * Devices that every container may use whatever its configuration says: the nodes that the runtime makes itself, terminals, and making nodes
 * (not using them). All OCI runtimes have this list; /dev/net/tun is in it because images rely on it.
 */
const runtimeDeviceRules: readonly DeviceRule[] = [
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...(
    [
      [1, 3],
      [1, 8],
      [1, 7],
      [5, 0],
      [1, 5],
      [1, 9],
      [136, undefined],
      [5, 2],
      [10, 200],
    ] as const
  ).map(([major, minor]): DeviceRule => ({
    allow: true,
    type: "c",
    major,
    ...(minor === undefined ? {} : { minor }),
    access: "rwm",
  })),
];

export function resourcesFromOci(oci: LinuxResources | null | undefined): Resources {
  const { memory, cpu, pids, blockIO } = oci ?? {};
  refuseUnsupported(oci);
  const devices = [...(oci?.devices ?? []).map(deviceRule), ...runtimeDeviceRules];
  const settings = settingsFromOci(oci ?? {});
  return defined({
    memoryBytes: memory?.limit,
    memorySwapBytes: memory?.swap,
    memoryReservationBytes: memory?.reservation,
    memorySwappiness: memory?.swappiness,
    oomKillDisable: memory?.disableOOMKiller,
    cpuShares: cpu?.shares,
    cpuQuotaUs: cpu?.quota,
    cpuPeriodUs: cpu?.period,
    cpusetCpus: cpu?.cpus,
    cpusetMems: cpu?.mems,
    pids: pids?.limit,
    blkioWeight: blockIO?.weight,
    ...(settings.length === 0 ? {} : { settings }),
    devices,
  });
}

type Loose = { [K in keyof Resources]: Resources[K] | bigint | null | undefined };

/** Drops values that are not given. Numbers that arrived as bigint are far beyond any limit; they become the largest safe number. */
function defined(values: Loose): Resources {
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, value]) => {
      if (value === undefined || value === null || value === "") return [];
      if (typeof value !== "bigint") return [[key, value]];
      return [[key, value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value)]];
    }),
  );
}

function deviceRule(rule: NonNullable<LinuxResources["devices"]>[number]): DeviceRule {
  const number = (value: number | null | undefined): number | undefined =>
    value === undefined || value === null || value < 0 ? undefined : value;
  const type = rule.type === undefined || rule.type === "" ? "a" : rule.type;
  const [major, minor] = [number(rule.major), number(rule.minor)];
  if (type === "a" && (major !== undefined || minor !== undefined))
    throw new EngineError("invalid-argument", "linux.resources.devices: a rule for all types cannot name numbers");
  return {
    allow: rule.allow,
    type,
    ...(major === undefined ? {} : { major }),
    ...(minor === undefined ? {} : { minor }),
    access: rule.access ?? "rwm",
  };
}

/** What is not supported; 0, false and empty are not asked for. */
function refuseUnsupported(oci: LinuxResources | null | undefined): void {
  const later = {
    "blockIO.leafWeight": oci?.blockIO?.leafWeight,
    "memory.kernel": oci?.memory?.kernel,
    "memory.checkBeforeUpdate": oci?.memory?.checkBeforeUpdate,
  };
  for (const [name, value] of Object.entries(later)) {
    const set = typeof value === "boolean" ? value : Number(value ?? 0) !== 0;
    if (set) throw new EngineError("not-implemented", `linux.resources.${name}: not supported yet`);
  }
}
