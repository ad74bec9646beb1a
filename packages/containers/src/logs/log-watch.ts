/**
 * Notifies log readers when a container's log changed: one inotify descriptor for all. In addition, a slow poll covers file systems that do not
 * report changes.
 */
import { IN_CREATE, IN_MODIFY, IN_MOVED_TO, IN_ONLYDIR, parseInotifyEvents, type Sys } from "@fathom/sys";

const pollMs = 500;

export class LogWatch {
  readonly #sys: Sys;
  #fd: number | undefined;
  #stop: (() => void) | undefined;
  readonly #watches = new Map<number, { directory: string; wakes: Set<() => void> }>();
  readonly #byDirectory = new Map<string, { watch: number; users: number }>();

  constructor(sys: Sys) {
    this.#sys = sys;
  }

  /** Watches the directory until the result is disposed of. `lookMs`: `changed` resolves after this time even when nothing was reported. */
  watch(
    directory: string,
    lookMs = pollMs,
  ): { changed(signal: AbortSignal): Promise<void>; wake(): void } & Disposable {
    const watch = this.#add(directory);
    const wakes = watch === undefined ? new Set<() => void>() : this.#watches.get(watch)!.wakes;
    let dirty = true;
    let resolveWait: (() => void) | undefined;
    const wake = (): void => {
      dirty = true;
      resolveWait?.();
    };
    wakes.add(wake);
    return {
      wake,
      changed: async (signal) => {
        if (!dirty) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, lookMs);
            resolveWait = () => {
              clearTimeout(timer);
              resolve();
            };
            signal.addEventListener("abort", resolveWait, { once: true });
          });
          if (resolveWait !== undefined) signal.removeEventListener("abort", resolveWait);
          resolveWait = undefined;
        }
        dirty = false;
      },
      [Symbol.dispose]: () => {
        wakes.delete(wake);
        if (watch !== undefined) this.#remove(directory);
      },
    };
  }

  #add(directory: string): number | undefined {
    const known = this.#byDirectory.get(directory);
    if (known !== undefined) {
      known.users++;
      return known.watch;
    }
    try {
      this.#open();
      const watch = this.#sys.inotifyAddWatch(this.#fd!, directory, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
      this.#watches.set(watch, { directory, wakes: new Set() });
      this.#byDirectory.set(directory, { watch, users: 1 });
      return watch;
    } catch {
      // No watch is left (fs.inotify.max_user_watches): the poll covers it.
      return undefined;
    }
  }

  #remove(directory: string): void {
    const known = this.#byDirectory.get(directory);
    if (known === undefined || --known.users > 0) return;
    this.#byDirectory.delete(directory);
    this.#watches.delete(known.watch);
    try {
      this.#sys.inotifyRemoveWatch(this.#fd!, known.watch);
    } catch {
      // The directory was removed, and its watch with it.
    }
    // The descriptor stays open: a read of it is pending, and its number must not be used for another file.
  }

  #open(): void {
    if (this.#fd !== undefined) return;
    const fd = this.#sys.inotifyInit();
    this.#fd = fd;
    const reader = Bun.file(fd).stream().getReader();
    this.#stop = () => void reader.cancel().catch(() => undefined);
    void this.#pump(() => reader.read());
  }

  async #pump(read: () => Promise<{ value?: Uint8Array | undefined; done: boolean }>): Promise<void> {
    try {
      for (;;) {
        const { value, done } = await read();
        if (done || value === undefined) return;
        for (const { watch } of parseInotifyEvents(value))
          for (const wake of this.#watches.get(watch)?.wakes ?? []) wake();
      }
    } catch {
      // The descriptor was closed, or cannot be read: the poll continues.
    }
  }

  #close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    this.#stop?.();
    this.#stop = undefined;
    if (fd !== undefined) this.#sys.close(fd);
  }

  [Symbol.dispose](): void {
    this.#watches.clear();
    this.#byDirectory.clear();
    this.#close();
  }
}
