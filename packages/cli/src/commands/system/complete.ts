import type { CommandContext, CommandGroup, GlobalOptions } from "../../grammar/command.ts";
import { findPlugin, pluginNames } from "../../plugins/find-plugins.ts";
import { afterGlobalFlags, complete, type Candidate } from "../../grammar/completion.ts";
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
  const global = await lineOptions(context);
  const found =
    completeWithPlugin(context, global, args.slice(afterGlobalFlags(globalFlags, args))) ??
    (await complete({ commands, groups: [...groups, ...pluginGroups(global)], globalFlags }, args, namesFrom(global)));
  if (found === "files") stdout.write(":files\n");
  else stdout.write(found.map(({ value, help }) => `${value}\t${help}\n`).join(""));
  return 0;
}

function pluginGroups({ configDirectory }: GlobalOptions): readonly CommandGroup[] {
  return pluginNames(configDirectory).map((name) => ({ name, summary: "Plugin" }));
}

/** What a plugin offers for its own words, in cobra's form: lines, and then ":" and a number. undefined when the word is no plugin. */
function completeWithPlugin(
  { commands, groups }: CommandContext,
  { configDirectory }: GlobalOptions,
  words: readonly string[],
): readonly Candidate[] | "files" | undefined {
  const [name = ""] = words;
  if (words.length < 2 || [...commands.map(({ path }) => path[0]), ...groups.map((group) => group.name)].includes(name))
    return undefined;
  const plugin = findPlugin(configDirectory, name);
  if (plugin === undefined) return undefined;
  const asked = Bun.spawnSync([plugin.path, "__complete", ...words], { stdin: "ignore", stderr: "ignore" });
  const lines = asked.stdout
    .toString()
    .split("\n")
    .filter((line) => line !== "");
  const end = lines.findIndex((line) => line.startsWith(":"));
  const offered = lines.slice(0, end < 0 ? undefined : end);
  // ":0" leaves the rest to the shell.
  if (offered.length === 0 && lines[end] === ":0") return "files";
  return offered.map((line) => {
    const [value = "", help = ""] = line.split("\t");
    return { value, help };
  });
}
