/**
 * Notices a supervisor that owes an answer and sends nothing. A supervisor that is busy with one request (a launch on a slow disk) answers
 * others meanwhile. So it gets another hello; only if it does not answer that, it is suspected, and later counts as silent.
 */

/**
 * How often a supervisor that owes an answer is checked. The limits count checks, not time, so that a pause of the daemon itself does not make
 * a supervisor silent.
 */
const lookMs = 500;
/** Checks without a message: before hello is sent, from then until the supervisor is suspected, and until it counts as silent. */
const askAfterLooks = 2;
const suspectAfterLooks = 2;
const silentAfterLooks = 18;

export interface Watched {
  isOpen(): boolean;
  /** It has a request that is still waiting. */
  owesAnswer(): boolean;
  isSilent(): boolean;
  askHello(): void;
  /** Called at every check while it does not even answer hello. */
  suspect(): void;
  silent(): void;
}

export class SilenceWatch {
  readonly #watched: Watched;
  #looking = false;
  #quietLooks = 0;
  #asked = false;

  constructor(watched: Watched) {
    this.#watched = watched;
  }

  /** A message arrived. */
  heard(): void {
    this.#quietLooks = 0;
    this.#asked = false;
  }

  /** Asks for a sign of life. */
  probe(): void {
    if (!this.#watched.isOpen() || this.#asked) return;
    this.#asked = true;
    this.#quietLooks = 0;
    this.#watched.askHello();
  }

  /** Begins to check, unless it already does: an answer is owed from now on. */
  lookSoon(): void {
    if (this.#looking) return;
    this.#looking = true;
    setTimeout(() => this.#look(), lookMs).unref();
  }

  #look(): void {
    this.#looking = false;
    if (!this.#watched.isOpen()) return;
    if (!this.#asked && !this.#watched.owesAnswer() && !this.#watched.isSilent()) {
      this.#quietLooks = 0;
      return;
    }
    this.#quietLooks++;
    this.lookSoon();
    if (!this.#asked) {
      if (this.#quietLooks >= askAfterLooks) this.probe();
      return;
    }
    if (this.#quietLooks >= suspectAfterLooks) this.#watched.suspect();
    if (this.#quietLooks >= silentAfterLooks) this.#watched.silent();
  }
}
