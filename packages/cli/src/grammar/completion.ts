/**
 * Shell completion. The scripts for bash, zsh and fish are three lines each. They run `fathom __complete WORD…`, which reads the command tables
 * and gets the names of containers and images from the daemon.
 */
import type { Command, CommandGroup } from "./command.ts";
import type { FlagDefinition, FlagTable, NameKind } from "./flags.ts";

export interface Candidate {
  readonly value: string;
  readonly help: string;
}

export type NameSource = (kind: NameKind) => Promise<readonly string[]>;

export interface CompletionTables {
  readonly commands: readonly Command[];
  readonly groups: readonly CommandGroup[];
  readonly globalFlags: FlagTable;
}

function pathsOf(command: Command): readonly (readonly string[])[] {
  return [command.path, ...command.aliases];
}

function flagCandidates(table: FlagTable, prefix: string): Candidate[] {
  return table
    .filter((flag) => flag.hidden !== true && `--${flag.name}`.startsWith(prefix))
    .map((flag) => ({ value: `--${flag.name}`, help: flag.help.split("\n")[0]! }));
}

async function valueCandidates(
  source: FlagDefinition["complete"],
  prefix: string,
  names: NameSource,
): Promise<Candidate[] | "files"> {
  if (source === undefined) return [];
  if (source === "files") return "files";
  if (source === "copy") {
    // After the colon comes a path in the container, which nobody knows here. A word with a slash is a file.
    if (/[/:]/.test(prefix)) return "files";
    const containers = (await names("containers")).filter((name) => name.startsWith(prefix));
    return containers.length === 0 ? "files" : containers.map((name) => ({ value: `${name}:`, help: "" }));
  }
  const values = typeof source === "string" ? await names(source) : source;
  return values.filter((value) => value.startsWith(prefix)).map((value) => ({ value, help: "" }));
}

/** The flag whose value is the last word, when the word before it is a flag with a value. */
function pendingFlag(table: FlagTable, words: readonly string[]): FlagDefinition | undefined {
  const before = words.at(-2);
  if (before === undefined || !before.startsWith("-") || before.includes("=")) return undefined;
  const found = before.startsWith("--")
    ? table.find((flag) => `--${flag.name}` === before)
    : table.find((flag) => flag.shorthand !== undefined && before.endsWith(flag.shorthand));
  return found?.type === "bool" ? undefined : found;
}

/** Where the command begins: after the global flags and their values. */
export function afterGlobalFlags(table: FlagTable, words: readonly string[]): number {
  let index = 0;
  while (index < words.length - 1 && words[index]!.startsWith("-"))
    index += pendingFlag(table, [words[index]!, ""]) === undefined ? 1 : 2;
  return index;
}

/** Commands, groups and the commands of a group. */
function commandCandidates(tables: Omit<CompletionTables, "globalFlags">, words: readonly string[]): Candidate[] {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const rows = new Map<string, string>();
  for (const candidate of tables.commands) {
    if (candidate.hidden === true) continue;
    for (const path of pathsOf(candidate)) {
      if (path.length === before.length + 1 && before.every((word, i) => path[i] === word))
        rows.set(path.at(-1)!, candidate.summary);
    }
  }
  if (before.length === 0) for (const group of tables.groups) rows.set(group.name, group.summary);
  return [...rows]
    .filter(([name]) => name.startsWith(current))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([value, help]) => ({ value, help }));
}

/**
 * @param words The words after the program's name. The user is still typing the last one; it may be empty.
 * @returns candidates, or "files" when the shell should offer file names
 */
export async function complete(
  tables: CompletionTables,
  words: readonly string[],
  names: NameSource,
): Promise<readonly Candidate[] | "files"> {
  const current = words.at(-1) ?? "";
  const begin = afterGlobalFlags(tables.globalFlags, words);
  if (begin >= words.length) return valueCandidates(pendingFlag(tables.globalFlags, words)?.complete, current, names);
  if (begin > 0) return complete(tables, words.slice(begin), names);
  if (words[0] === "help" && words.length > 1) return commandCandidates(tables, words.slice(1));
  let command: Command | undefined;
  let consumed = 0;
  for (const candidate of tables.commands) {
    for (const path of pathsOf(candidate)) {
      if (path.length < words.length && path.length > consumed && path.every((word, i) => words[i] === word)) {
        command = candidate;
        consumed = path.length;
      }
    }
  }
  if (command === undefined)
    return current.startsWith("-") ? flagCandidates(tables.globalFlags, current) : commandCandidates(tables, words);
  const rest = words.slice(consumed);
  if (command.nested !== undefined) {
    if (rest.length > 1) return complete(tables, rest, names);
    const nested = tables.commands.filter(({ path }) => path.length === 1 && command.nested?.includes(path[0]!));
    return commandCandidates({ ...tables, commands: nested, groups: [] }, rest);
  }
  const pending = pendingFlag(command.flags, rest);
  if (pending !== undefined) return valueCandidates(pending.complete, current, names);
  if (current.startsWith("-")) return flagCandidates(command.flags, current);
  return valueCandidates(command.completeArgs, current, names);
}

const scripts = {
  bash: `# bash completion for fathom: source <(fathom completion bash)
_fathom() {
  local line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do
    if [ "$line" = :files ]; then compopt -o default; COMPREPLY=(); return; fi
    COMPREPLY+=("$line")
  done < <(fathom __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _fathom fathom
`,
  zsh: `#compdef fathom
# zsh completion for fathom: fathom completion zsh > "\${fpath[1]}/_fathom"
_fathom() {
  local -a rows
  local line
  while IFS= read -r line; do
    if [[ "$line" == ":files" ]]; then _files; return; fi
    rows+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done < <(fathom __complete "\${words[@]:1:$((CURRENT-1))}" 2>/dev/null)
  _describe fathom rows
}
compdef _fathom fathom
`,
  fish: `# fish completion for fathom: fathom completion fish | source
function __fathom_complete
  set -l words (commandline -opc)[2..-1] (commandline -ct)
  for line in (fathom __complete $words 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c fathom -f -a "(__fathom_complete)"
`,
} as const;

export type Shell = keyof typeof scripts;

export const shells: readonly string[] = Object.keys(scripts);

export function completionScript(shell: string): string | undefined {
  return new Map<string, string>(Object.entries(scripts)).get(shell);
}
