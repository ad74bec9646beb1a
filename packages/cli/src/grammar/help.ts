/** Help pages from the command tables, laid out as pflag and cobra do it. */
import type { Command, CommandGroup } from "./command.ts";
import { defaultHost } from "@fathom/client";
import type { FlagDefinition, FlagTable } from "./flags.ts";

export const programName = "fathom";

function typeWord(flag: FlagDefinition): string {
  return flag.type === "bool" ? "" : (flag.typeName ?? flag.type);
}

function defaultWord(flag: FlagDefinition): string {
  if (flag.default === undefined || flag.default === "" || flag.default === false || flag.default === 0) return "";
  return ` (default ${typeof flag.default === "string" ? JSON.stringify(flag.default) : String(flag.default)})`;
}

/** Breaks text at spaces. Line breaks of the author stay. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}

export function flagUsages(table: FlagTable, columns: number): string {
  const visible = table.filter((flag) => flag.hidden !== true).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const left = visible.map((flag) => {
    const short = flag.shorthand === undefined ? "      " : `  -${flag.shorthand}, `;
    const word = typeWord(flag);
    return `${short}--${flag.name}${word === "" ? "" : ` ${word}`}`;
  });
  const width = Math.max(0, ...left.map((text) => text.length)) + 3;
  return visible
    .map((flag, i) => {
      const lines = wrap(flag.help + defaultWord(flag), Math.max(24, columns - width));
      return left[i]!.padEnd(width) + lines.join(`\n${" ".repeat(width)}`);
    })
    .map((line) => line.trimEnd() + "\n")
    .join("");
}

function usageLine(command: Command): string {
  return `Usage:  ${programName} ${command.path.join(" ")}${command.usage === "" ? "" : ` ${command.usage}`}`;
}

/** The text after a usage error. */
export function usageHint(command: Command): string {
  const name = `${programName} ${command.path.join(" ")}`;
  return `${usageLine(command)}\n\nRun '${name} --help' for more information`;
}

export function commandHelp(command: Command, columns: number): string {
  let text = `${usageLine(command)}\n\n${command.summary}\n`;
  if (command.more !== undefined) text += `\n${command.more}\n`;
  if (command.aliases.length > 0) {
    const all = [...command.aliases, command.path].map((path) => `${programName} ${path.join(" ")}`);
    text += `\nAliases:\n  ${all.join(", ")}\n`;
  }
  const flags = flagUsages(command.flags, columns);
  if (flags !== "") text += `\nOptions:\n${flags}`;
  if (command.examples !== undefined)
    text += `\nExamples:\n${command.examples.map(([line, what]) => `  ${programName} ${line}\n      ${what}\n`).join("")}`;
  return text;
}

function listing(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 3;
  return rows.map(([name, summary]) => `  ${name.padEnd(width)}${summary}\n`).join("");
}

export function groupHelp(group: CommandGroup, commands: readonly Command[]): string {
  const rows = commands
    .flatMap((command) =>
      [command.path, ...command.aliases]
        .filter((path) => path.length === 2 && path[0] === group.name)
        .slice(0, 1)
        .map((path) => [path[1]!, command.summary] as const),
    )
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `Usage:  ${programName} ${group.name} COMMAND\n\n${group.summary}\n\nCommands:\n${listing(rows)}\nRun '${programName} ${group.name} COMMAND --help' for more information on a command.\n`;
}

const common = ["run", "exec", "ps", "pull", "push", "images", "logs", "cp", "login", "explain", "version", "info"];

export function mainHelp(
  commands: readonly Command[],
  groups: readonly CommandGroup[],
  globalFlags: FlagTable,
  columns: number,
): string {
  const single = commands.filter((command) => command.path.length === 1 && command.hidden !== true);
  const row = (command: Command) => [command.path[0]!, command.summary] as const;
  const first = common.flatMap((name) => single.filter((command) => command.path[0] === name).map(row));
  const rest = single
    .filter((command) => !common.includes(command.path[0]!))
    .map(row)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    `Usage:  ${programName} [OPTIONS] COMMAND\n`,
    "A container engine that shows every step it takes\n",
    `Common Commands:\n${listing(first)}`,
    `Management Commands:\n${listing(groups.map((group) => [group.name, group.summary] as const))}`,
    `Commands:\n${listing(rest)}`,
    `Global Options:\n${flagUsages(globalFlags, columns)}`,
    `The daemon's address is -H, else $FATHOM_HOST, else $DOCKER_HOST, else\n${defaultHost}. If no daemon runs there, fathom starts one in the background (as root).\n`,
    `Run '${programName} COMMAND --help' for more information on a command.\n`,
  ].join("\n");
}
