import { messageOf } from "@fathom/base";
import { changeConfig } from "../../config/config-file.ts";
import { defaultContext, hasContext, removeContext } from "../../config/contexts.ts";
import type { CommandContext } from "../../grammar/command.ts";
import { forEachName } from "../../session/each.ts";

export async function run(context: CommandContext): Promise<number> {
  const { args, flags, global } = context;
  const directory = global.configDirectory;
  const force = flags.bool("force");
  return forEachName(context, args, async (name) => {
    if (name === defaultContext) throw new Error('context "default" cannot be removed');
    if (name === global.context) {
      if (!force) throw new Error(`context ${JSON.stringify(name)} is in use, set -f flag to force remove`);
      changeConfig(directory, (document) => void delete document["currentContext"]);
    }
    if (!force && !exists(directory, name)) throw new Error(`context ${JSON.stringify(name)} does not exist`);
    removeContext(directory, name);
    return name;
  });
}

/** A context whose file is broken can be removed too. */
function exists(directory: string, name: string): boolean {
  try {
    return hasContext(directory, name);
  } catch (error) {
    return messageOf(error) !== "";
  }
}
