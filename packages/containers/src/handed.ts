/** Something that has an owner until somebody takes it over. */
export class Handed<T> {
  readonly #value: T;
  #taken = false;

  constructor(value: T) {
    this.#value = value;
  }

  /** For who only uses it. */
  get value(): T {
    return this.#value;
  }

  get taken(): boolean {
    return this.#taken;
  }

  /** From now on it is the caller's. */
  take(): T {
    this.#taken = true;
    return this.#value;
  }
}
