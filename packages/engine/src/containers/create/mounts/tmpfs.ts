/** `--tmpfs`. */
import { EngineError } from "@fathom/base";
import type { MountPoint } from "@fathom/containers";
import type { HostConfig } from "@fathom/spec";
import { clean, empty } from "./mount-parts.ts";

const tmpfsFlags = new Set(
  (
    "ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime nodiratime bind rbind " +
    "unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime strictatime nostrictatime defaults"
  ).split(" "),
);
const tmpfsKeys = new Set(["mode", "uid", "gid", "size", "nr_blocks", "nr_inodes", "mpol", "huge"]);

/** Words of `--tmpfs PATH:OPTIONS`. @throws invalid-argument 'invalid tmpfs option "x"' */
export function parseTmpfsOptions(text: string): string[] {
  const words = text === "" ? [] : text.split(",");
  for (const word of words) {
    const equals = word.indexOf("=");
    const known = equals < 0 ? tmpfsFlags.has(word) : tmpfsKeys.has(word.slice(0, equals));
    if (!known) throw new EngineError("invalid-argument", `invalid tmpfs option ${JSON.stringify(word)}`);
  }
  return words;
}

/** `--tmpfs` as mounts. A container's list of mounts, as clients see it, does not contain them. */
export function tmpfsMounts(hostConfig: HostConfig): MountPoint[] {
  return Object.entries(hostConfig.Tmpfs ?? {}).map(([destination, options]) => {
    const { volume: _none, ...mount } = {
      ...empty,
      destination: clean(destination),
      tmpfsOptions: parseTmpfsOptions(options),
    };
    return { ...mount, type: "tmpfs" };
  });
}
