/**
 * Words of Dockerfile instructions: how they are split, and how quotes, backslashes and variables in them are read. Variables have the values
 * of the image's environment from before the instruction.
 */
import { EngineError } from "@fathom/base";

export type Environment = ReadonlyMap<string, string>;

export function environmentOf(entries: readonly string[] | null | undefined): Environment {
  return new Map(
    (entries ?? []).map((entry) => {
      const equals = entry.indexOf("=");
      return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** Splits at white space. Quoted text stays together, and quotes and backslashes stay in the words. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quote === "" && /\s/.test(c)) {
      if (word !== "") words.push(word);
      word = "";
      continue;
    }
    word += c;
    if (c === quote) quote = "";
    else if (c === "\\" && quote !== "'" && i + 1 < text.length) word += text[++i];
    else if (quote === "" && (c === '"' || c === "'")) quote = c;
  }
  if (word !== "") words.push(word);
  return words;
}

/** One word without its quotes and backslashes, and with its variables replaced. @throws invalid-argument */
export function expandWord(text: string, environment: Environment): string {
  const reader = new Reader(text, environment);
  try {
    return reader.read("");
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EngineError(error.code, `failed to process ${JSON.stringify(text)}: ${error.message}`, { cause: error });
  }
}

export function bad(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}

class Reader {
  readonly #text: string;
  readonly #environment: Environment;
  #at = 0;

  constructor(text: string, environment: Environment) {
    this.#text = text;
    this.#environment = environment;
  }

  /** Up to the end of the text, or up to the `end` that closes `${…}`. */
  read(end: string): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const c = this.#text[this.#at]!;
      if (c === end) return result;
      if (c === "'") result += this.#singleQuoted();
      else if (c === '"') result += this.#doubleQuoted();
      else if (c === "$") result += this.#variable();
      else if (c === "\\") {
        // A backslash at the end of the text stands for itself.
        result += this.#text[this.#at + 1] ?? "\\";
        this.#at += 2;
      } else {
        result += c;
        this.#at++;
      }
    }
    return result;
  }

  #singleQuoted(): string {
    const close = this.#text.indexOf("'", this.#at + 1);
    if (close < 0) throw bad("unexpected end of statement while looking for matching single-quote");
    const inner = this.#text.slice(this.#at + 1, close);
    this.#at = close + 1;
    return inner;
  }

  #doubleQuoted(): string {
    let result = "";
    for (this.#at++; ;) {
      const c = this.#text[this.#at];
      if (c === undefined) throw bad("unexpected end of statement while looking for matching double-quote");
      if (c === '"') {
        this.#at++;
        return result;
      }
      if (c === "$") {
        result += this.#variable();
        continue;
      }
      const next = this.#text[this.#at + 1];
      // Within double quotes, a backslash has its special meaning only before these characters.
      if (c === "\\" && next !== undefined && '"$\\'.includes(next)) {
        result += next;
        this.#at += 2;
      } else {
        result += c;
        this.#at++;
      }
    }
  }

  #variable(): string {
    this.#at++;
    if (this.#text[this.#at] === "{") return this.#braced();
    const name = /^(?:[A-Za-z_]\w*|\d+|[@*#?!$-])/.exec(this.#text.slice(this.#at))?.[0];
    if (name === undefined) return "$";
    this.#at += name.length;
    return this.#environment.get(name) ?? "";
  }

  /** `${NAME}`, `${NAME:-word}` and similar forms; without the colon, an empty value counts as a value. */
  #braced(): string {
    this.#at++;
    const name = /^(?:\w+|[@*#?!$-])/.exec(this.#text.slice(this.#at))?.[0] ?? "";
    this.#at += name.length;
    const colon = this.#text[this.#at] === ":";
    if (colon) this.#at++;
    const modifier = this.#text[this.#at];
    if (modifier === undefined) throw bad("syntax error: missing '}'");
    if (name === "") throw bad("bad substitution");
    if (modifier === "}" && !colon) {
      this.#at++;
      return this.#environment.get(name) ?? "";
    }
    if (!"-+?".includes(modifier)) throw bad(`unsupported modifier (${modifier}) in substitution`);
    this.#at++;
    const word = this.read("}");
    if (this.#text[this.#at] !== "}") throw bad("syntax error: missing '}'");
    this.#at++;
    const value = this.#environment.get(name);
    const counts = colon ? (value ?? "") !== "" : value !== undefined;
    if (modifier === "+") return counts ? word : "";
    if (counts) return value!;
    if (modifier === "-") return word;
    throw bad(`${name}: ${word === "" ? "not allowed to be unset" : word}`);
  }
}

/** `["a","b"]`; undefined for anything else, which is then a line of shell or plain words. */
export function jsonForm(text: string): readonly string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || !value.every((word) => typeof word === "string"))
    throw bad("when using JSON array syntax, arrays must be comprised of strings only");
  return value;
}
