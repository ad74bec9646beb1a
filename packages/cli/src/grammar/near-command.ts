/** The command that the user probably meant. */
import type { Command, CommandGroup } from "./command.ts";
import { nearest } from "./nearest.ts";

/** "image ls" for "image sl"; undefined when no command is similar. */
export function nearCommand(
  { commands, groups }: { readonly commands: readonly Command[]; readonly groups: readonly CommandGroup[] },
  words: readonly string[],
): string | undefined {
  const inGroup = words.length > 1 && groups.some(({ name }) => name === words[0]);
  const said = inGroup ? words.slice(0, 2) : words.slice(0, 1);
  const known = [
    ...commands.filter((command) => command.hidden !== true).flatMap(({ path, aliases }) => [path, ...aliases]),
    ...groups.map(({ name }) => [name]),
  ].filter((path) => path.length === said.length && (!inGroup || path[0] === said[0]));
  const paths = new Map(known.map((path) => [path.join(" "), path.at(-1)!]));
  return nearest(said.at(-1)!, paths);
}
