/** The command that the user probably meant. */
import type { Command, CommandGroup } from "./command.ts";

/** How many letters to change, add, leave out, or swap with the next one. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const above = rows[i - 1]!;
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

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
  const typed = said.at(-1)!;
  // A word of four letters with two mistakes is a different word.
  const limit = typed.length <= 4 ? 1 : 2;
  const [best] = known
    .map((path) => ({ name: path.join(" "), far: distance(typed, path.at(-1)!) }))
    .filter(({ far }) => far <= limit)
    .toSorted((a, b) => a.far - b.far || (a.name < b.name ? -1 : 1));
  return best?.name;
}
