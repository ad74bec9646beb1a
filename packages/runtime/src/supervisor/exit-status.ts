/** Exit statuses: the file that a supervisor writes, the message that it sends, and the kernel's own form. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatRfc3339Nano, isErrno } from "@fathom/base";
import { isObject } from "@fathom/spec";
import type { ExitStatus } from "../contract.ts";
import type { WireReader } from "../plan/wire.ts";

/** Name of the exit status in the container's directory. */
const exitFileName = "exit";

/**
 * The exit status that a supervisor stored; undefined when there is none.
 * @throws when the file cannot be looked for, because then nobody knows whether there is one
 */
export async function readExitFile(directory: string): Promise<ExitStatus | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, exitFileName), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (!isObject(parsed)) return undefined;
    const { code, signal, finishedAt } = parsed;
    if (typeof code !== "number" || typeof signal !== "number" || typeof finishedAt !== "string") return undefined;
    return { code, signal, finishedAt };
  } catch {
    return undefined;
  }
}

export function parseExit(reader: WireReader): ExitStatus {
  return { code: reader.u32(), signal: reader.u32(), finishedAt: reader.text() };
}

/** A waitpid(2) status as a shell shows it. */
export function exitOf(waitStatus: number): Pick<ExitStatus, "code" | "signal"> {
  const signal = waitStatus & 0x7f;
  return { code: signal === 0 ? (waitStatus >> 8) & 0xff : 128 + signal, signal };
}

/** The status of a process whose end nobody saw. */
export function lostExit(reason: string): ExitStatus {
  return { code: 255, signal: 0, finishedAt: timeNow(), lost: reason };
}

/** RFC3339Nano. */
export function timeNow(): string {
  return formatRfc3339Nano(BigInt(Date.now()) * 1_000_000n);
}
