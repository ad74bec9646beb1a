/**
 * Work that several callers want at the same time. It is done once, all callers get its messages and its result, and it is cancelled when the
 * last caller has left.
 */
import { EngineError } from "@fathom/base";

export interface TaskContext<M> {
  /** Aborts when nobody waits for the task any more. */
  readonly signal: AbortSignal;
  emit(message: M): void;
}

export interface Subscriber<M> {
  (message: M): void;
}

class SharedTask<M, T> {
  readonly #controller = new AbortController();
  readonly #subscribers = new Set<Subscriber<M>>();
  /** Messages up to now, for late callers; `keyOf` says which ones replace an earlier one. */
  readonly #history = new Map<string, M>();
  readonly #keyOf: (message: M) => string;
  readonly result: Promise<T>;
  #waiting = 0;
  #settled = false;

  constructor(keyOf: (message: M) => string, run: (context: TaskContext<M>) => Promise<T>) {
    this.#keyOf = keyOf;
    this.result = run({ signal: this.#controller.signal, emit: (message) => this.#emit(message) }).finally(
      () => (this.#settled = true),
    );
    this.result.catch(() => undefined);
  }

  /** True when it was cancelled: a new caller then needs a task of its own. */
  get abandoned(): boolean {
    return this.#controller.signal.aborted;
  }

  #emit(message: M): void {
    const key = this.#keyOf(message);
    // A replaced message keeps its place, so that a late caller sees the same order.
    this.#history.set(key, message);
    for (const subscriber of this.#subscribers) subscriber(message);
  }

  /**
   * Joins the task: past messages are delivered at once, later ones as they come. Resolves with the task's result.
   * @throws aborted as soon as `signal` aborts; the task continues while others wait.
   */
  async join(subscriber: Subscriber<M>, signal: AbortSignal): Promise<T> {
    for (const message of this.#history.values()) subscriber(message);
    this.#subscribers.add(subscriber);
    this.#waiting++;
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(new EngineError("aborted", "cancelled", { cause: signal.reason }));
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([this.result, left.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
      this.#subscribers.delete(subscriber);
      if (--this.#waiting === 0 && !this.#settled) this.#controller.abort();
    }
  }
}

/** Tasks by key: the running one, or a new one. */
export class SharedTasks<M, T> {
  readonly #tasks = new Map<string, SharedTask<M, T>>();
  readonly #keyOf: (message: M) => string;

  constructor(keyOf: (message: M) => string) {
    this.#keyOf = keyOf;
  }

  get size(): number {
    return this.#tasks.size;
  }

  get(key: string, run: (context: TaskContext<M>) => Promise<T>): SharedTask<M, T> {
    const running = this.#tasks.get(key);
    if (running !== undefined && !running.abandoned) return running;
    const task = new SharedTask(this.#keyOf, run);
    this.#tasks.set(key, task);
    const forget = (): void => {
      if (this.#tasks.get(key) === task) this.#tasks.delete(key);
    };
    task.result.then(forget, forget);
    return task;
  }
}
