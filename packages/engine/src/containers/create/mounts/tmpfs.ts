/** `--tmpfs`. */
import type { MountPoint } from "@fathom/containers";
import type { HostConfig } from "@fathom/spec";
import { tmpfsOptionName } from "../../../oci/tmpfs.ts";
import { clean, empty } from "./mount-parts.ts";

/** Words of `--tmpfs PATH:OPTIONS`. @throws invalid-argument 'invalid tmpfs option "x"' */
export function parseTmpfsOptions(text: string): string[] {
  const words = text === "" ? [] : text.split(",");
  for (const word of words) tmpfsOptionName(word);
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
