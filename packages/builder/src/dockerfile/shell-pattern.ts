/** Patterns of the shell in `${NAME#pattern}`, `${NAME%pattern}`, `${NAME/pattern/word}`: `*` and `?`. Matching takes at most length × length steps. */

import { wrong } from "./dockerfile-error.ts";

type Token = { readonly kind: "any" } | { readonly kind: "one" } | { readonly kind: "letter"; readonly letter: string };

/** Characters of a value times those of a pattern; when all places are tried, times the characters again. */
const mostSteps = 16 << 20;

export class Pattern {
  readonly #tokens: readonly Token[];

  constructor(text: string, escape: string) {
    const tokens: Token[] = [];
    for (let i = 0; i < text.length; i++) {
      const c = text[i]!;
      if (c === "*") tokens.push({ kind: "any" });
      else if (c === "?") tokens.push({ kind: "one" });
      else if (c === escape && i + 1 < text.length) tokens.push({ kind: "letter", letter: text[++i]! });
      else tokens.push({ kind: "letter", letter: c });
    }
    this.#tokens = tokens;
  }

  withoutPrefix(value: string, longest: boolean): string {
    const ends = this.#ends(value, 0, this.#tokens);
    const end = longest ? ends.at(-1) : ends[0];
    return end === undefined ? value : value.slice(end);
  }

  withoutSuffix(value: string, longest: boolean): string {
    const reversed = [...value].toReversed().join("");
    const ends = this.#ends(reversed, 0, this.#tokens.toReversed());
    const end = longest ? ends.at(-1) : ends[0];
    return end === undefined ? value : value.slice(0, value.length - end);
  }

  /** The first match, or all; at each place the longest. */
  replaced(value: string, word: string, all: boolean): string {
    if (this.#tokens.length === 0) return value;
    this.#limit(value.length * value.length);
    let result = "";
    for (let at = 0; at < value.length;) {
      const end = this.#ends(value, at, this.#tokens).at(-1);
      if (end === undefined || end === at) {
        result += value[at++];
        continue;
      }
      result += word;
      if (!all) return result + value.slice(end);
      at = end;
    }
    return result;
  }

  #limit(places: number): void {
    if (places * this.#tokens.length > mostSteps) throw wrong("a value is too long for a pattern in a substitution");
  }

  /** The places where a match that begins at `start` can end, in order. */
  #ends(value: string, start: number, tokens: readonly Token[]): number[] {
    this.#limit(value.length - start);
    let places = new Set([start]);
    for (const token of tokens) {
      const next = new Set<number>();
      if (token.kind === "any") {
        const least = Math.min(...places);
        if (places.size > 0) for (let at = least; at <= value.length; at++) next.add(at);
      } else
        for (const at of places)
          if (at < value.length && (token.kind === "one" || value[at] === token.letter)) next.add(at + 1);
      places = next;
    }
    return [...places].toSorted((a, b) => a - b);
  }
}
