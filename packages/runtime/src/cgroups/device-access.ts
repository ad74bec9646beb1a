/**
 * Device rules as the kernel's v1 controller understands them, as data: a default and exceptions from it. Both versions of cgroups are
 * programmed from it, so that a container has the same devices on both.
 * Source: kernel cgroup-v1/devices.rst.
 */
import type { DeviceRule } from "./contract.ts";

export interface DeviceException {
  readonly type: "b" | "c";
  /** undefined: all. */
  readonly major: number | undefined;
  readonly minor: number | undefined;
  /** Subset of "rwm", in this order. */
  readonly access: string;
}

export interface DeviceAccess {
  readonly defaultAllow: boolean;
  readonly exceptions: readonly DeviceException[];
}

/** Everything is allowed, as in a new cgroup below the root. */
export const allDevices: DeviceAccess = { defaultAllow: true, exceptions: [] };

/** Applies `rules` in order to `start`. */
export function evaluateDeviceRules(rules: readonly DeviceRule[], start: DeviceAccess = allDevices): DeviceAccess {
  let { defaultAllow } = start;
  let exceptions = new Map(start.exceptions.map((exception) => [keyOf(exception), exception]));
  for (const rule of rules) {
    if (rule.type === "a") {
      // A rule for all types applies to all numbers and all access: the kernel then drops every exception.
      defaultAllow = rule.allow;
      exceptions = new Map();
      continue;
    }
    const exception: DeviceException = {
      type: rule.type,
      major: rule.major,
      minor: rule.minor,
      access: accessOf(rule.access),
    };
    const key = keyOf(exception);
    const known = exceptions.get(key)?.access ?? "";
    // A rule that agrees with the default removes an exception with exactly these numbers; any other rule adds an exception.
    const access =
      rule.allow === defaultAllow
        ? [...known].filter((letter) => !exception.access.includes(letter)).join("")
        : accessOf(known + exception.access);
    if (access === "") exceptions.delete(key);
    else exceptions.set(key, { ...exception, access });
  }
  return { defaultAllow, exceptions: [...exceptions.values()] };
}

function keyOf(exception: Pick<DeviceException, "type" | "major" | "minor">): string {
  return `${exception.type} ${exception.major ?? "*"}:${exception.minor ?? "*"}`;
}

function accessOf(letters: string): string {
  return [..."rwm"].filter((letter) => letters.includes(letter)).join("");
}

/** "c 1:3 rwm", the form of devices.allow and devices.deny. */
export function formatException(exception: DeviceException): string {
  return `${keyOf(exception)} ${exception.access}`;
}
