/** Checks the database now and then while the daemon runs, so that damage is known before the next start fails because of it. */
import { messageOf } from "@fathom/base";
import type { EngineContext } from "../context.ts";

const firstCheckMs = 60_000;
const laterChecksMs = 3_600_000;

/** Runs until the daemon stops. */
export function checkDatabaseNowAndThen({ store, logger, shuttingDown }: EngineContext): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = (ms: number): void => {
    timer = setTimeout(() => void check(), ms);
    timer.unref();
  };
  const check = async (): Promise<void> => {
    if (shuttingDown.aborted) return;
    try {
      await store.database.check();
    } catch (error) {
      if (!shuttingDown.aborted) logger.error(messageOf(error));
    }
    if (!shuttingDown.aborted) again(laterChecksMs);
  };
  shuttingDown.addEventListener("abort", () => clearTimeout(timer), { once: true });
  if (!shuttingDown.aborted) again(firstCheckMs);
}
