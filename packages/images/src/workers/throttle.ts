/** Decides which of many steps give a message: one per `intervalMs`. */
export class Throttle {
  readonly #intervalMs: number;
  readonly #nowMs: () => number;
  #lastMs = Number.NEGATIVE_INFINITY;
  constructor(intervalMs: number, nowMs: () => number) {
    this.#intervalMs = intervalMs;
    this.#nowMs = nowMs;
  }
  due(): boolean {
    const now = this.#nowMs();
    if (now - this.#lastMs < this.#intervalMs) return false;
    this.#lastMs = now;
    return true;
  }
}
