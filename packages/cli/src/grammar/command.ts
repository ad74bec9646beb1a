/** One command of the CLI as data: the dispatcher, the help and the completion all read the same table. */
import type { DaemonAddress } from "@fathom/client";
import type { FlagDefinition, FlagTable, ParsedFlags } from "./flags.ts";

/** Everything that a command's code receives. A command reads no global state. */
export interface CommandContext {
  readonly flags: ParsedFlags;
  readonly args: readonly string[];
  readonly global: GlobalOptions;
  readonly command: Command;
  /** All commands, for completion. */
  readonly commands: readonly Command[];
  readonly groups: readonly CommandGroup[];
  readonly stdout: Output;
  readonly stderr: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Names that the daemon did not find. On a terminal, the user gets a suggestion for the first. */
  readonly notFound: string[];
}

export interface Output {
  write(text: string | Uint8Array): void;
  readonly isTerminal: boolean;
  /** Columns of the terminal; 80 without a terminal. */
  readonly columns: number;
}

export interface GlobalOptions {
  /** The daemon's address. @throws Error in docker's words when the context is lost or broken */
  readonly address: () => DaemonAddress;
  /** The context in use; "default" is DOCKER_HOST or this program's own default. */
  readonly context: string;
  /** What "default" means. */
  readonly defaultHost: string;
  /** True when the user named the host: then the CLI does not start a daemon. */
  readonly hostIsExplicit: boolean;
  /** Directory of config.json. */
  readonly configDirectory: string;
  readonly debug: boolean;
}

export interface ArgumentRule {
  readonly min: number;
  /** Without it, any number is allowed. */
  readonly max?: number;
}

export interface Command {
  /** "run", or "image", "history". */
  readonly path: readonly string[];
  /** Other names of the command: "container run". */
  readonly aliases: readonly (readonly string[])[];
  /** The text after the command's name in the usage line. */
  readonly usage: string;
  readonly summary: string;
  /** More sentences for the help page. */
  readonly more?: string;
  /** Command lines without the program's name, and what each does. */
  readonly examples?: readonly (readonly [line: string, what: string])[];
  readonly flags: FlagTable;
  readonly args: ArgumentRule;
  /** All words after the first argument belong to the container's program. */
  readonly stopAtArgument?: boolean;
  /** The command has no flags, not even --help: every word is an argument. */
  readonly rawArguments?: boolean;
  /** For completion: the arguments are a whole command line of one of these commands. */
  readonly nested?: readonly string[];
  /** For completion: the kind of the arguments. */
  readonly completeArgs?: FlagDefinition["complete"];
  readonly hidden?: boolean;
  /** Exit code of a usage error: 125 for run, as in Docker, and 1 for others. */
  readonly usageExitCode?: number;
  /** The code is loaded when the command runs, so that other commands cost no start time. */
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
