/** Limits of single block devices: `--device-read-bps /dev/sda:1mb` and the like. Errors in docker's words. */
import type { ParsedFlags } from "../grammar/flags.ts";
import { parseBytes } from "./values.ts";

interface DeviceRate {
  readonly Path: string;
  readonly Rate: number;
}

function split(text: string): readonly [string, string] {
  const colon = text.indexOf(":");
  if (colon <= 0) throw new Error(`bad format: ${text}`);
  const path = text.slice(0, colon);
  if (!path.startsWith("/dev/")) throw new Error(`bad format for device path: ${text}`);
  return [path, text.slice(colon + 1)];
}

export function parseDeviceBytes(text: string): DeviceRate {
  const [Path, rate] = split(text);
  try {
    return { Path, Rate: parseBytes(rate) };
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
    );
  }
}

export function parseDeviceOperations(text: string): DeviceRate {
  const [Path, rate] = split(text);
  if (!/^\d+$/.test(rate))
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    );
  return { Path, Rate: Number(rate) };
}

export function parseDeviceWeight(text: string): { readonly Path: string; readonly Weight: number } {
  const [Path, weight] = split(text);
  const value = Number(weight);
  if (!/^\d+$/.test(weight) || (value > 0 && (value < 10 || value > 1000)))
    throw new Error(`invalid weight for device: ${text}`);
  return { Path, Weight: value };
}

/** Only what the user gave: the daemon refuses some of them. */
export function deviceLimitsOf(flags: ParsedFlags): object {
  const given = <T>(name: string, parse: (text: string) => T): T[] | undefined =>
    flags.list(name).length === 0 ? undefined : flags.list(name).map(parse);
  return {
    BlkioWeightDevice: given("blkio-weight-device", parseDeviceWeight),
    BlkioDeviceReadBps: given("device-read-bps", parseDeviceBytes),
    BlkioDeviceWriteBps: given("device-write-bps", parseDeviceBytes),
    BlkioDeviceReadIOps: given("device-read-iops", parseDeviceOperations),
    BlkioDeviceWriteIOps: given("device-write-iops", parseDeviceOperations),
  };
}
