/** Options of the driver `local`: a volume that is a mount of its own (tmpfs, nfs, a bind of a host directory). */
import { EngineError } from "@fathom/base";
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

/** mount(2). */
const flags: Readonly<Record<string, { readonly bit: number; readonly off?: boolean }>> = {
  ro: { bit: MS_RDONLY },
  rw: { bit: MS_RDONLY, off: true },
  nosuid: { bit: MS_NOSUID },
  suid: { bit: MS_NOSUID, off: true },
  nodev: { bit: MS_NODEV },
  dev: { bit: MS_NODEV, off: true },
  noexec: { bit: MS_NOEXEC },
  exec: { bit: MS_NOEXEC, off: true },
  sync: { bit: MS_SYNCHRONOUS },
  async: { bit: MS_SYNCHRONOUS, off: true },
  dirsync: { bit: MS_DIRSYNC },
  noatime: { bit: MS_NOATIME },
  atime: { bit: MS_NOATIME, off: true },
  nodiratime: { bit: MS_NODIRATIME },
  diratime: { bit: MS_NODIRATIME, off: true },
  bind: { bit: MS_BIND },
  rbind: { bit: MS_BIND | MS_REC },
  relatime: { bit: MS_RELATIME },
  norelatime: { bit: MS_RELATIME, off: true },
  strictatime: { bit: MS_STRICTATIME },
  defaults: { bit: 0 },
};

const knownOptions = ["type", "o", "device"];

export interface VolumeMount {
  readonly type: string;
  readonly device: string;
  readonly flags: number;
  /** For the file system: "size=1m,uid=1000". */
  readonly data: string;
}

/** undefined for a volume without options: a plain directory. @throws invalid-argument naming the option */
export function parseMountOptions(options: Readonly<Record<string, string>>): VolumeMount | undefined {
  const keys = Object.keys(options);
  if (keys.length === 0) return undefined;
  for (const key of keys)
    if (!knownOptions.includes(key))
      throw new EngineError("invalid-argument", `invalid option: ${JSON.stringify(key)}`);
  const required = (key: string): string => {
    const value = options[key] ?? "";
    if (value === "") throw new EngineError("invalid-argument", `missing required option: ${JSON.stringify(key)}`);
    return value;
  };
  const device = required("device");
  const type = required("type");
  let bits = 0;
  const data: string[] = [];
  for (const word of (options["o"] ?? "").split(",").filter(Boolean)) {
    const flag = Object.hasOwn(flags, word) ? flags[word] : undefined;
    if (flag === undefined) data.push(word);
    else bits = flag.off ? bits & ~flag.bit : bits | flag.bit;
  }
  return { type, device, flags: bits, data: data.join(",") };
}
