/**
 * The daemon checks its database in a process of its own, because the file may be large and other work needs the daemon's thread. That process
 * is `fathom check-database FILE`, which no user needs: it prints what is wrong, or nothing.
 */
import { constants, setPriority } from "node:os";
import { EngineError } from "@fathom/base";

/** For a disk that does not answer, and for a gigabyte on a slow one. */
const limitMs = 300_000;

/** The child's part. Its only argument is the file. */
export async function checkDatabaseMain([path = ""]: readonly string[]): Promise<number> {
  const { checkDatabaseFile } = await import("@fathom/store");
  setPriority(constants.priority.PRIORITY_LOW);
  process.stdout.write(checkDatabaseFile(path) ?? "");
  return 0;
}

/** The daemon's part. @throws unavailable when the child fails or does not end in time */
export async function checkDatabaseInChild(path: string, signal: AbortSignal): Promise<string | undefined> {
  const child = Bun.spawn([process.execPath, "check-database", path], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: limitMs,
    killSignal: "SIGKILL",
    signal,
  });
  const [found, reason, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0)
    throw new EngineError(
      "unavailable",
      `the database ${path} cannot be checked for damage: ${reason.trim().split("\n").at(-1) || `the process for it ended with ${child.signalCode ?? code}`}`,
    );
  return found === "" ? undefined : found;
}
