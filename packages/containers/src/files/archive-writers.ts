/** Archives that are unpacked into a container (put-archive.ts), and who ends them. */
import { EngineError, settlesWithin } from "@fathom/base";

export interface ArchiveWriter {
  readonly abort: AbortController;
  /** Present when it does not hold the container's lock, because the container ran. Settles at its end. */
  unlocked?: Promise<void>;
}

/** At a forced removal. */
export function endForRemoval(writers: ReadonlySet<ArchiveWriter>): void {
  for (const { abort } of writers) abort.abort(new EngineError("aborted", "the container is being removed"));
}

/**
 * Before a start, with the container's lock held: an archive for the previous run is written through that run's mount, and two mounts of one
 * writable layer do not see each other's files.
 */
export async function endOfPreviousRun(writers: ReadonlySet<ArchiveWriter>): Promise<void> {
  for (const { abort, unlocked } of writers) {
    if (unlocked === undefined) continue;
    abort.abort(new EngineError("conflict", "the container was started again before the archive was written"));
    await settlesWithin(unlocked, undefined);
  }
}
