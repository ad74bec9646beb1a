/**
 * What a start did and how long each step took. If the owner wants it (`wantsStartReport`), the container has the list in its root; for every
 * other start nothing of it is made.
 */
import type { Clock } from "@fathom/base";
import {
  isSysError,
  O_CLOEXEC,
  O_CREAT,
  O_TRUNC,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  type Sys,
} from "@fathom/sys";

const directory = ".fathom";
const file = ".fathom/steps";

export class StartReport {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #lines: { readonly words: string; readonly ms: number }[] = [];
  #last: number;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    this.#last = clock.monotonicMs();
  }

  /** What was done since the previous line. */
  add(words: string): void {
    const now = this.#clock.monotonicMs();
    this.#lines.push({ words, ms: now - this.#last });
    this.#last = now;
  }

  text(): string {
    const total = this.#lines.reduce((sum, { ms }) => sum + ms, 0);
    const line = (ms: number, words: string): string => `  ${ms.toFixed(2).padStart(7)} ms  ${words}\n`;
    return (
      this.#lines.map(({ ms, words }) => line(ms, words)).join("") +
      line(total, "in all, until the program was about to be executed")
    );
  }

  /** Writes the list into a container's root, given as the descriptor of its mount. */
  write(sys: Sys, rootFd: number): void {
    try {
      sys.mkdirat(rootFd, directory, 0o755);
    } catch (error) {
      if (!isSysError(error, "EEXIST")) throw error;
    }
    const fd = sys.openat2(rootFd, file, {
      flags: O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
      mode: 0o444,
      resolve: RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
    });
    try {
      sys.write(fd, Buffer.from(this.text()));
    } finally {
      sys.close(fd);
    }
  }
}
