/** The capabilities of a container: Docker's default fourteen, changed by --cap-add, --cap-drop and --privileged. */
import { EngineError } from "@fathom/base";
import { capabilitiesOf, capabilityNames } from "@fathom/runtime";

export const defaultCapabilities: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

const known: ReadonlySet<string> = new Set(capabilityNames);

/**
 * Names as users write them ("net_admin", "CAP_KILL", "all") → "CAP_…" or "ALL".
 * @param available The capabilities that this daemon itself may have, as a mask: a container cannot get more.
 * @throws invalid-argument `unknown capability: "CAP_NOSUCH"`
 */
export function normalizeCapabilities(names: readonly string[], available: bigint): string[] {
  const usable = new Set(capabilitiesOf(available));
  return names.map((given) => {
    const upper = given.toUpperCase();
    if (upper === "ALL") return upper;
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (!known.has(name)) throw new EngineError("invalid-argument", `unknown capability: "${name}"`);
    if (!usable.has(name))
      throw new EngineError(
        "invalid-argument",
        `capability not supported by your kernel or not available in the current environment: "${name}"`,
      );
    return name;
  });
}

export function effectiveCapabilities(
  request: {
    readonly add: readonly string[] | null;
    readonly drop: readonly string[] | null;
    readonly privileged: boolean;
  },
  available: bigint,
): string[] {
  const all = capabilitiesOf(available);
  if (request.privileged) return all;
  const add = normalizeCapabilities(request.add ?? [], available);
  const drop = new Set(normalizeCapabilities(request.drop ?? [], available));
  if (add.includes("ALL")) return all.filter((name) => !drop.has(name));
  if (drop.has("ALL")) return [...new Set(add)];
  // In a nested environment the daemon itself may not have all of the defaults.
  const usable = new Set(all);
  const kept = defaultCapabilities.filter((name) => usable.has(name) && !drop.has(name));
  return [...new Set([...kept, ...add])];
}
