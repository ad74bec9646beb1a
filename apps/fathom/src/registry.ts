/** `fathom registry`: the registry, with a lock on its files and the rules of an idle daemon for its memory. */
import { programVersion } from "@fathom/base";
import { registryMain } from "@fathom/registry";
import { createSys } from "@fathom/sys";
import { IdleMemory } from "./process/idle-memory.ts";
import { lockRegistryRoot } from "./process/state-lock.ts";

export async function registryCommand(argv: readonly string[]): Promise<number> {
  const sys = createSys();
  using memory = new IdleMemory({ sys });
  return await registryMain({
    argv,
    version: programVersion,
    lock: (root) => lockRegistryRoot(sys, root),
    write: (text) => process.stdout.write(text),
    onActivity: () => memory.touch(),
  });
}
