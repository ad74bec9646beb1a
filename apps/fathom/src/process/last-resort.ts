/**
 * Errors that no code handles: a bug, after which the daemon's state is unknown. The daemon logs the stack and ends in an orderly way, and
 * quickly. Containers keep running with their supervisors, and the next daemon manages them again.
 */
import type { Logger } from "@fathom/base";

export interface LastResortOptions {
  readonly logger: Logger;
  /** Where errors that no code handles arrive: the process. */
  readonly source: {
    on(event: "unhandledRejection" | "uncaughtException", listener: (reason: unknown) => void): unknown;
  };
  /** Ends the process at once, when the orderly end does not come. */
  readonly exit: (code: number) => void;
  /** Time for the orderly end. */
  readonly patienceMs: number;
}

/** Resolves with the first error that no code handles. */
export function unhandledError({ logger, source, exit, patienceMs }: LastResortOptions): Promise<unknown> {
  return new Promise((resolve) => {
    let first = true;
    const told = (event: string) => (reason: unknown) => {
      logger.error("an error was not handled: this is a bug, and the daemon ends; containers run on", {
        event,
        error: reason instanceof Error ? (reason.stack ?? reason.message) : String(reason),
      });
      if (!first) return;
      first = false;
      setTimeout(() => exit(1), patienceMs).unref();
      resolve(reason);
    };
    source.on("unhandledRejection", told("unhandledRejection"));
    source.on("uncaughtException", told("uncaughtException"));
  });
}
