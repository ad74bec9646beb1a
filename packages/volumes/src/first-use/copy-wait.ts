/** Waits for a copying thread: until it answers, the daemon stops, or nothing was copied for a long time. */
import { EngineError, type Logger } from "@fathom/base";
import type { OneThread } from "@fathom/sys";
import type { CopyControl } from "./copy-control.ts";

export interface CopyLimits {
  /** A copy without progress for this long is given up: its file system hangs. */
  readonly stalledMs: number;
  /** How long a copy may take to stop after it was asked to. */
  readonly stopMs: number;
  /** How often its progress is looked at. */
  readonly lookMs: number;
}

const defaultLimits: CopyLimits = { stalledMs: 60_000, stopMs: 10_000, lookMs: 1_000 };
const logEveryMs = 10_000;

export interface CopyWait {
  /** For messages: "fill the volume x". */
  readonly action: string;
  readonly volume: string | undefined;
  readonly logger: Logger;
  /** Aborts when the daemon stops. */
  readonly shuttingDown: AbortSignal;
  readonly limits?: CopyLimits;
}

/** @throws the thread's error; unavailable with the reason when the copy was given up, whatever the thread says afterwards */
export async function waitForCopy(
  thread: Pick<OneThread<void>, "answer" | "leave">,
  control: CopyControl,
  { action, volume, logger, shuttingDown, limits: { stalledMs, stopMs, lookMs } = defaultLimits }: CopyWait,
): Promise<void> {
  const givenUp = Promise.withResolvers<never>();
  let reason: EngineError | undefined;
  const giveUp = (text: string): void => {
    reason ??= new EngineError("unavailable", `${action}: ${text}`);
    clearInterval(timer);
    control.stop();
    setTimeout(() => givenUp.reject(reason), stopMs).unref();
  };
  const startedAt = performance.now();
  let [seen, seenAt, loggedAt] = [0, startedAt, startedAt];
  const timer = setInterval(() => {
    const now = performance.now();
    const { entries, bytesCopied } = control;
    if (entries + bytesCopied !== seen) [seen, seenAt] = [entries + bytesCopied, now];
    if (now - loggedAt >= logEveryMs) {
      loggedAt = now;
      logger.info("a volume is being filled", { volume, entries, bytes: bytesCopied });
    }
    if (now - seenAt >= stalledMs) giveUp(`nothing was copied for ${stalledMs / 1000} s, it was given up`);
  }, lookMs);
  const onShutdown = (): void => giveUp("the daemon is stopping");
  shuttingDown.addEventListener("abort", onShutdown, { once: true });
  if (shuttingDown.aborted) onShutdown();
  try {
    await Promise.race([thread.answer, givenUp.promise]);
    const { entries, bytesCopied } = control;
    const ms = Math.round(performance.now() - startedAt);
    logger.info("a volume was filled", { volume, entries, bytes: bytesCopied, ms });
  } catch (error) {
    // The thread only knows that it was asked to stop.
    throw reason === undefined || reason === error
      ? error
      : new EngineError(reason.code, reason.message, { cause: error });
  } finally {
    clearInterval(timer);
    shuttingDown.removeEventListener("abort", onShutdown);
    // A copy that was given up closes its files when its file system answers.
    thread.leave();
  }
}
