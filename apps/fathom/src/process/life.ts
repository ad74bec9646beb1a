/** How long the daemon serves. */

export interface LifeEvents {
  /** The work that begins again with the daemon (restart policies) is done. */
  readonly resumed: Promise<void>;
  /** Somebody wants the daemon to end. */
  readonly stop: Promise<void>;
  /** With the first error that no code handles. */
  readonly broken: Promise<unknown>;
}

/**
 * Resolves when the daemon must end, also while it still resumes work: with nothing for an ordinary end, with the reason after a bug. Rejects
 * when the work cannot be resumed.
 */
export function lifeOf({ resumed, stop, broken }: LifeEvents): Promise<{ readonly reason: unknown } | undefined> {
  return new Promise((resolve, reject) => {
    resumed.catch(reject);
    void stop.then(() => resolve(undefined));
    void broken.then((reason) => resolve({ reason }));
  });
}
