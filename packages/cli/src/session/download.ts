/** Writes an answer's bytes to a file of the user, or to stdout. */
import { errnoOf } from "@fathom/base";
import { closeSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { CommandContext } from "../grammar/command.ts";
import { fileFailure } from "../run-options/files.ts";
import { writeAll } from "../output/terminal.ts";

/**
 * Before the daemon is asked: is there a place for the bytes?
 * @param what For the message: "export container", "save image"
 * @throws Error in docker's words when stdout is a terminal, or when the file's folder does not exist
 */
export function checkOutput({ stdout }: Pick<CommandContext, "stdout">, output: string, what: string): void {
  if (output === "") {
    if (stdout.isTerminal) throw new Error("cowardly refusing to save to a terminal. Use the -o flag or redirect");
    return;
  }
  const folder = dirname(output);
  if (statSync(folder, { throwIfNoEntry: false }) === undefined)
    throw new Error(`failed to ${what}: invalid output path: stat ${folder}: no such file or directory`);
  // Only a regular file is replaced: neither a device nor a FIFO.
  const target = statSync(output, { throwIfNoEntry: false });
  if (target !== undefined && !target.isFile())
    throw new Error(`failed to ${what}: invalid output path: ${output} must be a regular file`);
}

/** A file has its name only when all bytes are in it: a broken download leaves no half archive. @param output "" is stdout */
export async function saveBody(body: AsyncIterable<Uint8Array>, output: string): Promise<void> {
  if (output === "") {
    for await (const chunk of body) writeAll(1, chunk);
    return;
  }
  const temporary = `${output}.fathom-${process.pid}`;
  try {
    // Only the user may read it: an image or a container can hold secrets.
    const fd = openSync(temporary, "w", 0o600);
    try {
      for await (const chunk of body) writeAll(fd, chunk);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, output);
  } catch (error) {
    throw errnoOf(error) === undefined ? error : fileFailure("open", output, error);
  } finally {
    rmSync(temporary, { force: true });
  }
}
