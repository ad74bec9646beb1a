/**
 * Commands on several objects. Each object is tried. A name is printed when its object succeeds; the errors follow on stderr. The exit code is
 * 1 when any object failed.
 */
import { isEngineError, messageOf } from "@fathom/base";
import type { CommandContext } from "../grammar/command.ts";
import { isDaemonError } from "../grammar/dispatch.ts";

export function errorLine(error: unknown): string {
  return isDaemonError(error) ? `Error response from daemon: ${messageOf(error)}` : messageOf(error);
}

/** Runs `action` for all names at the same time. The output is in the order of the names, as in docker. */
export async function forEachName(
  context: Pick<CommandContext, "stdout" | "stderr" | "notFound">,
  names: readonly string[],
  action: (name: string) => Promise<string | undefined>,
  /** With --force, a name that does not exist is printed and is no failure. */
  missingIsFine = false,
): Promise<number> {
  const results = await Promise.allSettled(names.map(action));
  let code = 0;
  for (const [index, result] of results.entries()) {
    if (result.status === "fulfilled") {
      if (result.value !== undefined) context.stdout.write(`${result.value}\n`);
    } else {
      context.stderr.write(`${errorLine(result.reason)}\n`);
      const missing = isEngineError(result.reason, "not-found");
      if (missing) context.notFound.push(names[index]!);
      if (!(missing && missingIsFine)) code = 1;
    }
  }
  return code;
}
