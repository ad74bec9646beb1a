/** One command of the CLI as data: the dispatcher, the help and the completion all read the same table. */
import type { FlagDefinition, FlagTable, ParsedFlags } from "./flags.ts";

/** What a command's code gets: nothing global is read behind its back. */
export interface CommandContext {
  readonly flags: ParsedFlags;
  readonly args: readonly string[];
  readonly global: GlobalOptions;
  readonly command: Command;
  /** All of them, for completion. */
  readonly commands: readonly Command[];
  readonly groups: readonly CommandGroup[];
  readonly stdout: Output;
  readonly stderr: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface Output {
  write(text: string | Uint8Array): void;
  readonly isTerminal: boolean;
  /** Columns of the terminal; 80 elsewhere. */
  readonly columns: number;
}

export interface GlobalOptions {
  /** unix:// or tcp:// address of the daemon. */
  readonly host: string;
  /** True when the user named the host: then no daemon is started for them. */
  readonly hostIsExplicit: boolean;
  /** Directory of config.json. */
  readonly configDirectory: string;
  readonly debug: boolean;
}

export interface ArgumentRule {
  readonly min: number;
  /** Absent: any number. */
  readonly max?: number;
}

export interface Command {
  /** "run", or "image", "history". */
  readonly path: readonly string[];
  /** Other ways to say it: "container run". */
  readonly aliases: readonly (readonly string[])[];
  /** Behind the name in the usage line. */
  readonly usage: string;
  readonly summary: string;
  readonly flags: FlagTable;
  readonly args: ArgumentRule;
  /** Words after the first argument belong to the container's program. */
  readonly stopAtArgument?: boolean;
  /** No flags of its own, not even --help: every word is an argument. */
  readonly rawArguments?: boolean;
  /** The arguments are the line of one of these commands, for completion. */
  readonly nested?: readonly string[];
  /** What arguments are, for completion. */
  readonly completeArgs?: FlagDefinition["complete"];
  readonly hidden?: boolean;
  /** Exit code of a usage error: 125 for run, as Docker's; 1 elsewhere. */
  readonly usageExitCode?: number;
  /** Loaded when it runs: other commands' code costs no start time. */
  readonly load: () => Promise<{ readonly run: (context: CommandContext) => Promise<number> }>;
}

/** A group of commands with its own help page: `fathom image`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
}

/** Docker's words for a wrong number of arguments. */
export function argumentProblem(rule: ArgumentRule, count: number): string | undefined {
  const plural = (n: number): string => `${n} argument${n === 1 ? "" : "s"}`;
  if (rule.max === 0 && count > 0) return "accepts no arguments";
  if (rule.min === rule.max && count !== rule.min) return `requires ${plural(rule.min)}`;
  if (count < rule.min)
    return rule.max === undefined
      ? `requires at least ${plural(rule.min)}`
      : `requires at least ${rule.min} and at most ${plural(rule.max)}`;
  if (rule.max !== undefined && count > rule.max) {
    return rule.min === 0
      ? `requires at most ${plural(rule.max)}`
      : `requires at least ${rule.min} and at most ${plural(rule.max)}`;
  }
  return undefined;
}
