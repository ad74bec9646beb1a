/** Options of the driver `local`: a volume that is a mount of its own (tmpfs, nfs, a bind of a host directory). */
import { EngineError } from "@fathom/base";

/** mount(2). */
const flags: Readonly<Record<string, { readonly bit: number; readonly off?: boolean }>> = {
  ro: { bit: 1 },
  rw: { bit: 1, off: true },
  nosuid: { bit: 2 },
  suid: { bit: 2, off: true },
  nodev: { bit: 4 },
  dev: { bit: 4, off: true },
  noexec: { bit: 8 },
  exec: { bit: 8, off: true },
  sync: { bit: 16 },
  async: { bit: 16, off: true },
  dirsync: { bit: 128 },
  noatime: { bit: 1024 },
  atime: { bit: 1024, off: true },
  nodiratime: { bit: 2048 },
  diratime: { bit: 2048, off: true },
  bind: { bit: 4096 },
  rbind: { bit: 4096 | 16384 },
  relatime: { bit: 1 << 21 },
  norelatime: { bit: 1 << 21, off: true },
  strictatime: { bit: 1 << 24 },
  defaults: { bit: 0 },
};

export const MS_BIND = 4096;
export const MS_REMOUNT = 32;

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
