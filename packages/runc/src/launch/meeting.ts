/** The place where a new process waits, just before it enters its root, while this call runs the hooks of the host. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, O_CLOEXEC, O_NONBLOCK, O_RDWR, type Sys } from "@fathom/sys";

type MeetingSys = Pick<Sys, "mknodat" | "open" | "close" | "read" | "write">;

const fifoMode = 0o010600;
const lookMs = 2;

export class Meeting implements Disposable {
  readonly reached: string;
  readonly proceed: string;
  readonly #sys: MeetingSys;
  readonly #fds: readonly [number, number];

  constructor(sys: MeetingSys, directory: string) {
    this.#sys = sys;
    this.reached = join(directory, "reached");
    this.proceed = join(directory, "proceed");
    const make = (path: string): number => {
      sys.mknodat(AT_FDCWD, path, fifoMode, 0, 0);
      return sys.open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    };
    this.#fds = [make(this.reached), make(this.proceed)];
  }

  /** Waits for the process, does the work, and lets the process continue. An abort ends the wait, not the work. */
  async hold(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const [reached, proceed] = this.#fds;
    while (this.#sys.read(reached, new Uint8Array(1)) !== 1) {
      await Bun.sleep(lookMs);
      signal.throwIfAborted();
    }
    try {
      await work();
    } catch (error) {
      this.#sys.write(proceed, Buffer.from("n"));
      throw error;
    }
    this.#sys.write(proceed, Buffer.from("y"));
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) this.#sys.close(fd);
    for (const path of [this.reached, this.proceed]) rmSync(path, { force: true });
  }
}
