/** The CLI: `main(argv)` runs one command line and gives its exit code. */
import { writeSync } from "node:fs";
import type { Output } from "./grammar/command.ts";
import { commands, groups } from "./commands/index.ts";
import { dispatch } from "./grammar/dispatch.ts";
import { ReaderGoneError } from "./grammar/plain-error.ts";
import { writeAll } from "./output/terminal.ts";

export type { Command } from "./grammar/command.ts";
export { commands, groups } from "./commands/index.ts";
export { ParsedFlags, parseFlags, UsageError, type FlagDefinition, type FlagTable } from "./grammar/flags.ts";
export { flagUsages } from "./grammar/help.ts";

function output(fd: 1 | 2, stream: NodeJS.WriteStream): Output {
  return {
    // Writes are synchronous: nothing is lost when the process ends, and the order between stdout and stderr is kept.
    write: (text) => writeAll(fd, typeof text === "string" ? Buffer.from(text) : text),
    get isTerminal() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.isTTY === true && stream.columns > 0 ? stream.columns : 80;
    },
  };
}

/** @returns the exit code */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    return await dispatch({ commands, groups }, argv, {
      stdout: output(1, process.stdout),
      stderr: output(2, process.stderr),
      variables: process.env,
    });
  } catch (error) {
    if (error instanceof ReaderGoneError) return ReaderGoneError.exitCode;
    writeSync(2, `fathom: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}
export type { FlagType } from "./grammar/flags.ts";
