/** Mutual exclusion by key: operations on one container run one after another; operations on different containers run at the same time. */

export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `task` when all earlier tasks with `key` have ended, successfully or not. */
  async run<T>(key: string, task: () => Promise<T> | T): Promise<T> {
    const before = this.#tails.get(key);
    const mine = before === undefined ? (async () => task())() : before.then(task, task);
    const tail = mine.catch(() => undefined);
    this.#tails.set(key, tail);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}

/** A promise and its resolvers, to pass a result from one callback to another. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  // Without this, a rejected deferred that nobody awaits yet would end the process.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
