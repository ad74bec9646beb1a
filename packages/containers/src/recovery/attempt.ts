/** Steps that a daemon's start can do without. */
import { messageOf } from "@fathom/base";
import type { ContainersContext } from "../context.ts";

export async function attempt(
  { logger }: Pick<ContainersContext, "logger">,
  what: string,
  action: () => Promise<unknown>,
): Promise<void> {
  try {
    await action();
  } catch (error) {
    logger.warn(`${what} failed`, { error: messageOf(error) });
  }
}
