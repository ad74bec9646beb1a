/**
 * Notices a supervisor that owes an answer and says nothing. One that is busy with one request (a launch on a slow disk) answers others meanwhile; so it is asked for its
 * hello again, and only one that does not answer that is suspected, and then taken for silent.
 */

/** How often a supervisor that owes an answer is looked at. The limits count looks, not time, so that a pause of the daemon itself does not make a supervisor silent. */
const lookMs = 500;
/** Looks without a word before it is asked for its hello, from then on until it is suspected, and until it is silent. */
const askAfterLooks = 2;
const suspectAfterLooks = 2;
const silentAfterLooks = 18;

export interface Watched {
  isOpen(): boolean;
  /** It was asked for something that is still waited for. */
  owesAnswer(): boolean;
  isSilent(): boolean;
  askHello(): void;
  /** At every look at one that does not even give its hello. */
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

  /** Something came. */
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

  /** Begins to look, where it does not yet: an answer is owed from now on. */
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
