/** Waits for a process of which this call is the parent, and passes signals on to it. */
import { constants } from "node:os";
import type { DirectRun } from "@fathom/runtime";
import type { TerminalCopy } from "./terminal.ts";

/** Not those that this process needs itself, and not those that nobody can receive. */
const kept: ReadonlySet<string> = new Set(["SIGKILL", "SIGSTOP", "SIGCHLD", "SIGURG", "SIGPIPE", "SIGPROF"]);

/**
 * Until the process has ended.
 * @param begin What lets the process run. Signals that come during it are passed on, too.
 */
export async function inForeground(
  run: DirectRun,
  terminal: TerminalCopy | undefined,
  begin: () => Promise<void>,
): Promise<number> {
  const names = Object.keys(constants.signals).filter((name) => !kept.has(name));
  const passOn = (name: NodeJS.Signals): void => {
    try {
      run.signal(constants.signals[name]);
    } catch {
      // It has just ended.
    }
  };
  for (const name of names) process.on(name, passOn);
  try {
    await begin();
    const { code } = await run.wait();
    await terminal?.finish();
    return code;
  } finally {
    for (const name of names) process.off(name, passOn);
  }
}
