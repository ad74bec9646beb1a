/** The log of one call: on stderr, or in a file (`--log`), as text or JSON in the form of runc's. */
import { openSync, writeSync } from "node:fs";
import { EngineError, messageOf } from "@fathom/base";

export type Level = "debug" | "warning" | "error";

export interface CallLog {
  /** False: what a user must read goes to stderr, too. */
  readonly onStderr: boolean;
  write(level: Level, message: string): void;
}

export interface LogOptions {
  readonly file: string | undefined;
  readonly format: string | undefined;
  readonly debug: boolean;
}

/** @throws invalid-argument for a format that does not exist, or a file that cannot be opened */
export function openLog({ file, format = "text", debug }: LogOptions): CallLog {
  if (format !== "text" && format !== "json")
    throw new EngineError("invalid-argument", `invalid log-format: ${format}`);
  let fd = 2;
  if (file !== undefined) {
    try {
      fd = openSync(file, "a", 0o644);
    } catch (error) {
      throw new EngineError("invalid-argument", `unable to open log file: ${messageOf(error)}`, { cause: error });
    }
  }
  return {
    onStderr: fd === 2,
    write(level, message) {
      if (level === "debug" && !debug) return;
      const time = new Date().toISOString().replace(/\.\d+Z$/, "Z");
      const line =
        format === "json"
          ? JSON.stringify({ level, msg: message, time })
          : `time="${time}" level=${level} msg=${JSON.stringify(message)}`;
      try {
        writeSync(fd, `${line}\n`);
      } catch {
        // A full disk or a closed pipe does not change what the call does.
      }
    },
  };
}
