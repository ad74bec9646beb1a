/** Asks the user before something is removed. Without a terminal, the first line of stdin is the answer. */
import type { CommandContext } from "../grammar/command.ts";
import { ExitError } from "../grammar/exit-error.ts";
import { ask } from "../output/prompt.ts";

/** Returns when the user agrees, or gave --force. @throws ExitError with 0: a user who says no has made no mistake */
export async function confirmed({ flags, stdout }: CommandContext, warning: string): Promise<void> {
  if (flags.bool("force")) return;
  const answer = await ask(stdout, `${warning}\nAre you sure you want to continue? [y/N] `);
  if (!/^y(es)?$/i.test(answer)) throw new ExitError(0);
}
