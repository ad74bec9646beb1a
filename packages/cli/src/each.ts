/** Commands on several objects: each is tried, names are printed as they succeed, errors follow on stderr, the code is 1 when any failed. */
import { isEngineError, messageOf } from "@fathom/base";
import type { CommandContext } from "./command.ts";
import { isDaemonError } from "./dispatch.ts";

export function errorLine(error: unknown): string {
  return isDaemonError(error) ? `Error response from daemon: ${messageOf(error)}` : messageOf(error);
}

/** Runs `action` for every name at the same time; output is in the order of the names, as docker prints it. */
export async function forEachName(
  context: Pick<CommandContext, "stdout" | "stderr">,
  names: readonly string[],
  action: (name: string) => Promise<string | undefined>,
  /** Forced: one that does not exist is printed, and is no failure. */
  missingIsFine = false,
): Promise<number> {
  const results = await Promise.allSettled(names.map(action));
  let code = 0;
  for (const result of results) {
    if (result.status === "fulfilled") {
      if (result.value !== undefined) context.stdout.write(`${result.value}\n`);
    } else {
      context.stderr.write(`${errorLine(result.reason)}\n`);
      if (!(missingIsFine && isEngineError(result.reason, "not-found"))) code = 1;
    }
  }
  return code;
}
