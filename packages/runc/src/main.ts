/** One call of `fathom-runc`: flags, the command, and what its failure says. */
import { writeSync } from "node:fs";
import { EngineError, messageOf, programVersion } from "@fathom/base";
import { ociVersion } from "@fathom/spec";
import { openCall, type Call } from "./call.ts";
import { parseFlags, type Flags } from "./command-line/parse.ts";
import { commandFlags, globalFlags, isCommand, type CommandName } from "./command-line/tables.ts";
import { features, spec } from "./commands/describing.ts";
import { exec } from "./commands/exec.ts";
import { create, kill, remove, run, start, state } from "./commands/lifecycle.ts";
import { list, ps } from "./commands/listing.ts";
import { events, pause, resume, update } from "./commands/resources.ts";
import { openLog, type CallLog } from "./log.ts";

type Command = (call: Call, flags: Flags) => Promise<number>;

const commands: Readonly<Record<CommandName, Command>> = {
  create,
  start,
  run,
  exec,
  state,
  kill,
  delete: remove,
  list,
  ps,
  pause,
  resume,
  update,
  events,
  spec,
  features,
};

const defaultRoot = "/run/runc";
const failedCode = 1;
/** A program that runs in the container may have ended with 1. */
const execFailedCode = 255;

const help = `NAME:
   fathom-runc - Open Container Initiative runtime

USAGE:
   fathom-runc [global options] command [command options] [arguments...]

COMMANDS:
   ${Object.keys(commandFlags).join(", ")}

GLOBAL OPTIONS:
   --debug            write debug messages
   --log value        file for messages (default: stderr)
   --log-format value text or json (default: "text")
   --root value       directory of the states (default: "${defaultRoot}")
   --help, -h         show help
   --version, -v      print the version
`;

export async function runcMain(argv: readonly string[]): Promise<number> {
  let log: CallLog = openLog({ file: undefined, format: undefined, debug: false });
  let name = "";
  try {
    const globals = parseFlags(argv, globalFlags);
    if (globals.on("version")) {
      process.stdout.write(`fathom-runc version ${programVersion}\nspec: ${ociVersion}\n`);
      return 0;
    }
    log = openLog({ file: globals.text("log"), format: globals.text("log-format"), debug: globals.on("debug") });
    const [command = "", ...rest] = globals.args;
    name = command;
    if (globals.on("help") || command === "" || command === "help") {
      process.stdout.write(help);
      return 0;
    }
    if (command === "checkpoint" || command === "restore")
      throw new EngineError("not-implemented", `${command}: not supported yet`);
    if (!isCommand(command)) throw new EngineError("invalid-argument", `No help topic for '${command}'`);
    checkGlobals(globals, command);
    const flags = parseFlags(rest, commandFlags[command]);
    const code = await commands[command](openCall(globals.text("root") ?? defaultRoot, log), flags);
    log.write("debug", `${command} ended with ${code}`);
    return code;
  } catch (error) {
    const message = messageOf(error);
    log.write("error", message);
    if (!log.onStderr) writeSync(2, `${message}\n`);
    return name === "exec" ? execFailedCode : failedCode;
  }
}

const withoutRoot: ReadonlySet<string> = new Set(["spec", "features"]);

function checkGlobals(globals: Flags, command: string): void {
  if (globals.on("systemd-cgroup"))
    throw new EngineError("not-implemented", "--systemd-cgroup: not supported yet; use cgroup paths without systemd");
  if (globals.text("rootless") === "true" || (process.geteuid?.() !== 0 && !withoutRoot.has(command)))
    throw new EngineError("not-implemented", "rootless containers are not supported yet: run fathom-runc as root");
}
