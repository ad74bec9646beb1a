/** `fathom registry`: the registry, with a lock on its files. */
import { programVersion } from "@fathom/base";
import { registryMain } from "@fathom/registry";
import { createSys } from "@fathom/sys";
import { lockRegistryRoot } from "./process/state-lock.ts";

export function registryCommand(argv: readonly string[]): Promise<number> {
  return registryMain({
    argv,
    version: programVersion,
    lock: (root) => lockRegistryRoot(createSys(), root),
    write: (text) => process.stdout.write(text),
  });
}
