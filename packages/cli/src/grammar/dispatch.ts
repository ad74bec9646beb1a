/** From argv to a command: global flags, groups, aliases, help, and usage errors with docker's words and exit codes. */
import { isEngineError, messageOf } from "@fathom/base";
import { ExitError } from "./exit-error.ts";
import { argumentProblem, type Command, type CommandGroup, type GlobalOptions, type Output } from "./command.ts";
import { globalFlags, globalOptions } from "./global-options.ts";
import { parseFlags, UsageError, type ParsedFlags } from "./flags.ts";
import { missingCommand } from "./missing-commands.ts";
import { nearCommand } from "./near-command.ts";
import { CommandLineError, PlainError, ReaderGoneError } from "./plain-error.ts";
import { commandHelp, groupHelp, mainHelp, programName, usageHint } from "./help.ts";

export interface Tables {
  readonly commands: readonly Command[];
  readonly groups: readonly CommandGroup[];
}

export interface Environment {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/** The command whose path (or alias) matches the first words. The longest match wins. */
function findCommand(
  commands: readonly Command[],
  words: readonly string[],
): { readonly command: Command; readonly length: number } | undefined {
  let best: { command: Command; length: number } | undefined;
  for (const command of commands) {
    for (const path of [command.path, ...command.aliases]) {
      if (path.length > (best?.length ?? 0) && path.every((word, i) => words[i] === word))
        best = { command, length: path.length };
    }
  }
  return best;
}

/** Runs one command line: prints all output and returns the exit code. */
export async function dispatch(tables: Tables, argv: readonly string[], environment: Environment): Promise<number> {
  const { stdout, stderr } = environment;
  let global: ParsedFlags;
  let options: GlobalOptions;
  try {
    global = parseFlags(globalFlags, argv, { stopAtArgument: true });
    options = await globalOptions(global, environment.variables);
  } catch (error) {
    if (error instanceof PlainError) {
      stderr.write(`${error.message}\n`);
      return 1;
    }
    if (!(error instanceof UsageError)) throw error;
    stderr.write(
      `${error.message}\n\nUsage:  ${programName} [OPTIONS] COMMAND\n\nRun '${programName} --help' for more information\n`,
    );
    return 125;
  }
  const words = global.args;
  if (global.bool("version"))
    return dispatch(tables, ["version", "--format", `{{.Client.Name}} version {{.Client.Version}}`], environment);
  if (words.length === 0 || global.bool("help") || (words[0] === "help" && words.length === 1)) {
    const { listPlugins } = await import("../plugins/find-plugins.ts");
    const plugins = listPlugins(options.configDirectory).filter(
      ({ name }) => findCommand(tables.commands, [name]) === undefined,
    );
    stdout.write(
      mainHelp(
        tables.commands,
        [...tables.groups, ...plugins.map(({ name, summary }) => ({ name: `${name}*`, summary }))],
        globalFlags,
        stdout.columns,
      ),
    );
    return 0;
  }
  const line = words[0] === "help" ? [...words.slice(1), "--help"] : words;
  const found = findCommand(tables.commands, line);
  if (found === undefined) {
    const code = await tryPlugin(tables, line, words[0] === "help" ? line : argv, options, environment);
    return code ?? unknownCommand(tables, line, environment);
  }
  return runCommand(tables, found.command, line.slice(found.length), options, environment);
}

/** The exit code of the plugin with this name; undefined when there is none. */
async function tryPlugin(
  { groups }: Tables,
  [name = ""]: readonly string[],
  argv: readonly string[],
  options: GlobalOptions,
  { variables }: Environment,
): Promise<number | undefined> {
  if (name.startsWith("-") || groups.some((group) => group.name === name)) return undefined;
  const { findPlugin } = await import("../plugins/find-plugins.ts");
  const plugin = findPlugin(options.configDirectory, name);
  if (plugin === undefined) return undefined;
  const { runPlugin } = await import("../plugins/run-plugin.ts");
  return runPlugin(plugin, argv, options, variables);
}

function unknownCommand(tables: Tables, words: readonly string[], { stdout, stderr }: Environment): number {
  const group = tables.groups.find(({ name }) => name === words[0]);
  if (group !== undefined && (words.length === 1 || words.includes("--help") || words.includes("-h"))) {
    stdout.write(groupHelp(group, tables.commands));
    return 0;
  }
  const missing = missingCommand(words);
  if (missing !== undefined) {
    stderr.write(`${programName}: this CLI has no ${JSON.stringify(missing.name)}: ${missing.reason}\n`);
    return 1;
  }
  const near = nearCommand(tables, words);
  const said = words.slice(0, group === undefined ? 1 : 2).join(" ");
  stderr.write(
    `${programName}: unknown command: ${programName} ${said}\n\n` +
      (near === undefined ? "" : `Did you mean '${programName} ${near}'?\n\n`) +
      (group === undefined
        ? `Run '${programName} --help' for more information\n`
        : `Usage:  ${programName} ${group.name} COMMAND\n\nRun '${programName} ${group.name} --help' for more information\n`),
  );
  return 1;
}

async function runCommand(
  { commands, groups }: Tables,
  command: Command,
  argv: readonly string[],
  global: GlobalOptions,
  environment: Environment,
): Promise<number> {
  const { stdout, stderr } = environment;
  const name = `${programName} ${command.path.join(" ")}`;
  const usageCode = command.usageExitCode ?? 1;
  let flags: ParsedFlags;
  try {
    const words = command.rawArguments === true ? ["--", ...argv] : argv;
    flags = parseFlags(command.flags, words, { stopAtArgument: command.stopAtArgument === true });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    stderr.write(`${error.message}\n\n${usageHint(command)}\n`);
    return 125;
  }
  if (flags.bool("help")) {
    stdout.write(commandHelp(command, stdout.columns));
    return 0;
  }
  const problem = argumentProblem(command.args, flags.args.length);
  if (problem !== undefined) {
    stderr.write(`${programName}: '${name}' ${problem}\n\n${usageHint(command)}\n`);
    return 1;
  }
  const notFound: string[] = [];
  try {
    const { run } = await command.load();
    return await run({
      flags,
      args: flags.args,
      global,
      command,
      commands,
      groups,
      stdout,
      stderr,
      environment: environment.variables,
      notFound,
    });
  } catch (error) {
    if (error instanceof ExitError) return error.exitCode;
    if (error instanceof ReaderGoneError) throw error;
    if (error instanceof PlainError) {
      stderr.write(`${error.message}\n`);
      return 1;
    }
    if (error instanceof CommandLineError) {
      stderr.write(`${programName}: ${error.message}\n\nRun '${name} --help' for more information\n`);
      return 125;
    }
    reportFailure(command, error, global, stderr);
    if (isEngineError(error, "not-found") && flags.args[0] !== undefined) notFound.push(flags.args[0]);
    return usageCode;
  } finally {
    if (stderr.isTerminal && notFound.length > 0) await suggest(command, notFound[0]!, global, stderr);
  }
}

/** After "No such container": the name that the user probably meant. */
async function suggest(command: Command, name: string, global: GlobalOptions, stderr: Output): Promise<void> {
  const kind = command.completeArgs;
  if (kind !== "containers" && kind !== "images" && kind !== "networks" && kind !== "volumes") return;
  const { namesFrom, similarName } = await import("../session/names.ts");
  const similar = similarName(name, await namesFrom(global)(kind));
  if (similar !== undefined) stderr.write(`\nDid you mean '${similar}'?\n`);
}

/** An error of the daemon has docker's prefix. For `run` and `create`, docker's hint follows. */
function reportFailure(command: Command, error: unknown, global: GlobalOptions, stderr: Output): void {
  const text = messageOf(error);
  const line =
    isDaemonError(error) && !text.startsWith("Error response from daemon")
      ? `Error response from daemon: ${text}`
      : text;
  if (command.usageExitCode === 125)
    stderr.write(
      `${programName}: ${line}\n\nRun '${programName} ${command.path.join(" ")} --help' for more information\n`,
    );
  else stderr.write(`${line}\n`);
  if (global.debug && error instanceof Error && error.stack !== undefined) stderr.write(`${error.stack}\n`);
}

/** True for an error that the daemon answered, false for an error of this process. */
export function isDaemonError(error: unknown): boolean {
  return error instanceof Error && "status" in error;
}
