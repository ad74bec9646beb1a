import type { CommandContext, GlobalOptions } from "../../grammar/command.ts";
import { complete } from "../../grammar/completion.ts";
import { globalFlags, globalOptions } from "../../grammar/global-options.ts";
import { namesFrom } from "../../session/names.ts";
import { parseFlags } from "../../grammar/flags.ts";

/** The daemon that the line names, if its words are complete. */
async function lineOptions({ args, global, environment }: CommandContext): Promise<GlobalOptions> {
  try {
    return await globalOptions(parseFlags(globalFlags, args.slice(0, -1), { stopAtArgument: true }), environment);
  } catch {
    return global;
  }
}

export async function run(context: CommandContext): Promise<number> {
  const { commands, groups, args, stdout } = context;
  const found = await complete({ commands, groups, globalFlags }, args, namesFrom(await lineOptions(context)));
  if (found === "files") stdout.write(":files\n");
  else stdout.write(found.map(({ value, help }) => `${value}\t${help}\n`).join(""));
  return 0;
}
