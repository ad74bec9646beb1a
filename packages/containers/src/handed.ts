/** Something that has an owner until other code takes it over. */
export class Handed<T> {
  readonly #value: T;
  #taken = false;

  constructor(value: T) {
    this.#value = value;
  }

  /** For code that only uses it. */
  get value(): T {
    return this.#value;
  }

  get taken(): boolean {
    return this.#taken;
  }

  /** From now on the caller owns it. */
  take(): T {
    this.#taken = true;
    return this.#value;
  }
}
