import type { Query } from "@fathom/client";
import type { ParsedFlags } from "../grammar/flags.ts";

/** Query of stop and restart. Without a signal or timeout, the daemon uses the container's own. */
export function stopQuery(flags: ParsedFlags): Query {
  const timeout = flags.changed("timeout")
    ? flags.int("timeout")
    : flags.changed("time")
      ? flags.int("time")
      : undefined;
  return { t: timeout, signal: flags.string("signal") || undefined };
}
