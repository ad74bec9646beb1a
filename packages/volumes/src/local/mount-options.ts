/** Options of the driver `local`: a volume that is a mount of its own (tmpfs, nfs, a bind of a host directory). */
import { EngineError } from "@fathom/base";
import { mountWords, type MountFlag } from "@fathom/spec";
import {
  MS_BIND,
  MS_DIRSYNC,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
} from "@fathom/sys";

/** MS_* of mount(2), by the flag's name. Docker's driver treats nosymfollow as an option of the file system. */
const bits: Readonly<Record<MountFlag, number | undefined>> = {
  readonly: MS_RDONLY,
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: MS_NOEXEC,
  noatime: MS_NOATIME,
  relatime: MS_RELATIME,
  strictatime: MS_STRICTATIME,
  nodiratime: MS_NODIRATIME,
  nosymfollow: undefined,
};

/** Words that are no flags of a mount in an OCI configuration. */
const otherWords: ReadonlyMap<string, { readonly bit: number; readonly set: boolean }> = new Map([
  ["sync", { bit: MS_SYNCHRONOUS, set: true }],
  ["async", { bit: MS_SYNCHRONOUS, set: false }],
  ["dirsync", { bit: MS_DIRSYNC, set: true }],
  ["bind", { bit: MS_BIND, set: true }],
  ["rbind", { bit: MS_BIND | MS_REC, set: true }],
  ["defaults", { bit: 0, set: true }],
]);

/** undefined for an option of the file system. */
function flagOf(word: string): { readonly bit: number; readonly set: boolean } | undefined {
  const known = mountWords.get(word);
  const bit = known === undefined ? undefined : bits[known.flag];
  return known === undefined || bit === undefined ? otherWords.get(word) : { bit, set: known.set };
}

const knownOptions = ["type", "o", "device"];

export interface VolumeMount {
  readonly type: string;
  readonly device: string;
  readonly flags: number;
  /** For the file system: "size=1m,uid=1000". */
  readonly data: string;
}

/** undefined for a volume without options, or with an empty type and device: a plain directory. @throws invalid-argument; the message names the option */
export function parseMountOptions(options: Readonly<Record<string, string>>): VolumeMount | undefined {
  const keys = Object.keys(options);
  if (keys.length === 0) return undefined;
  for (const key of keys)
    if (!knownOptions.includes(key))
      throw new EngineError("invalid-argument", `invalid option: ${JSON.stringify(key)}`);
  if (options["type"] === "" && options["device"] === "") return undefined;
  const required = (key: string): string => {
    const value = options[key] ?? "";
    if (value === "") throw new EngineError("invalid-argument", `missing required option: ${JSON.stringify(key)}`);
    return value;
  };
  const device = required("device");
  const type = required("type");
  let flags = 0;
  const data: string[] = [];
  for (const word of (options["o"] ?? "").split(",").filter(Boolean)) {
    const flag = flagOf(word);
    if (flag === undefined) data.push(word);
    else flags = flag.set ? flags | flag.bit : flags & ~flag.bit;
  }
  return { type, device, flags, data: data.join(",") };
}
