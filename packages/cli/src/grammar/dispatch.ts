/** From argv to a command: global flags, groups, aliases, help, and usage errors with docker's words and exit codes. */
import { messageOf } from "@fathom/base";
import { defaultHost } from "@fathom/client";
import { ExitError } from "./exit-error.ts";
import { argumentProblem, type Command, type CommandGroup, type GlobalOptions, type Output } from "./command.ts";
import { parseFlags, UsageError, type FlagTable, type ParsedFlags } from "./flags.ts";
import { missingCommand } from "./missing-commands.ts";
import { nearCommand } from "./near-command.ts";
import { PlainError, ReaderGoneError } from "./plain-error.ts";
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

export const globalFlags: FlagTable = [
  { name: "config", type: "string", help: "Directory of config.json with registry credentials", complete: "files" },
  { name: "debug", shorthand: "D", type: "bool", help: "Print more details of errors" },
  { name: "host", shorthand: "H", type: "list", help: "Address of the daemon (unix:///path, tcp://host:port)" },
  { name: "version", shorthand: "v", type: "bool", help: "Print the version and exit" },
];

function globalOptions(flags: ParsedFlags, variables: Environment["variables"]): GlobalOptions {
  const named = flags.list("host").at(-1) ?? variables["FATHOM_HOST"] ?? variables["DOCKER_HOST"];
  return {
    host: named === undefined || named === "" ? defaultHost : named,
    hostIsExplicit: named !== undefined && named !== "",
    configDirectory:
      flags.string("config") || (variables["DOCKER_CONFIG"] ?? `${variables["HOME"] ?? "/root"}/.docker`),
    debug: flags.bool("debug"),
  };
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
  try {
    global = parseFlags(globalFlags, argv, { stopAtArgument: true });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    stderr.write(
      `${error.message}\n\nUsage:  ${programName} [OPTIONS] COMMAND\n\nRun '${programName} --help' for more information\n`,
    );
    return 125;
  }
  const options = globalOptions(global, environment.variables);
  const words = global.args;
  if (global.bool("version"))
    return dispatch(tables, ["version", "--format", `{{.Client.Name}} version {{.Client.Version}}`], environment);
  if (words.length === 0 || global.bool("help") || (words[0] === "help" && words.length === 1)) {
    stdout.write(mainHelp(tables.commands, tables.groups, globalFlags, stdout.columns));
    return 0;
  }
  const line = words[0] === "help" ? [...words.slice(1), "--help"] : words;
  const found = findCommand(tables.commands, line);
  if (found === undefined) return unknownCommand(tables, line, environment);
  return runCommand(tables, found.command, line.slice(found.length), options, environment);
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
    });
  } catch (error) {
    if (error instanceof ExitError) return error.exitCode;
    if (error instanceof ReaderGoneError) throw error;
    if (error instanceof PlainError) {
      stderr.write(`${error.message}\n`);
      return 1;
    }
    reportFailure(command, error, global, stderr);
    return usageCode;
  }
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
