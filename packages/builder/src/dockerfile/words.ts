/**
 * Words of Dockerfile instructions: how they are split, and how quotes, escapes and variables in them are read. Variables have the values from
 * before the instruction.
 */
import { wrong } from "./dockerfile-error.ts";
import { Pattern } from "./shell-pattern.ts";

/** The character that takes the meaning of the next one: the directive `escape` chooses it. */
export type Escape = "\\" | "`";

export type Environment = ReadonlyMap<string, string>;

export function environmentOf(entries: readonly string[] | null | undefined): Map<string, string> {
  return new Map(
    (entries ?? []).map((entry) => {
      const equals = entry.indexOf("=");
      return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** Splits at white space, into at most `limit` words. Quoted text stays together, and quotes and escapes stay in the words. */
export function splitWords(text: string, escape: Escape = "\\", limit = Number.POSITIVE_INFINITY): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let i = 0; i < text.length && words.length < limit; i++) {
    const c = text[i]!;
    if (quote === "" && /\s/.test(c)) {
      if (word !== "") words.push(word);
      word = "";
      continue;
    }
    word += c;
    if (c === quote) quote = "";
    else if (c === escape && quote !== "'" && i + 1 < text.length) word += text[++i];
    else if (quote === "" && (c === '"' || c === "'")) quote = c;
  }
  if (word !== "" && words.length < limit) words.push(word);
  return words;
}

/** One word without its quotes and escapes; variables stay. */
export function unquote(text: string, escape: Escape): string {
  let result = "";
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === quote) quote = "";
    else if (quote === "" && (c === '"' || c === "'")) quote = c;
    else if (c === escape && quote !== "'" && i + 1 < text.length) result += text[++i];
    else result += c;
  }
  return result;
}

export interface Expansion {
  readonly environment: Environment;
  readonly escape?: Escape;
  /** Of a heredoc: quotes and escapes stay, only variables are replaced. */
  readonly keepQuotes?: boolean;
}

/** One word without its quotes and escapes, and with its variables replaced. @throws DockerfileError */
export function expandWord(text: string, { environment, escape = "\\", keepQuotes = false }: Expansion): string {
  if (!/['"$\\`]/.test(text)) return text;
  try {
    return new Reader(text, environment, escape, keepQuotes).read("");
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    throw wrong(`failed to process ${JSON.stringify(text)}: ${error.message}`);
  }
}

/** As `expandWord`; white space of values splits it into words, as in the shell. */
export function expandWords(text: string, expansion: Expansion): string[] {
  return expandWord(text, expansion)
    .split(/\s+/)
    .filter((word) => word !== "");
}

class Unreadable extends Error {}

/** `${a:-${b:-…}}`: deeper nesting has no use. */
const deepest = 50;

class Reader {
  readonly #text: string;
  readonly #environment: Environment;
  readonly #escape: Escape;
  readonly #keepQuotes: boolean;
  #at = 0;
  #depth = 0;

  constructor(text: string, environment: Environment, escape: Escape, keepQuotes: boolean) {
    this.#text = text;
    this.#environment = environment;
    this.#escape = escape;
    this.#keepQuotes = keepQuotes;
  }

  /** Up to the end of the text, or up to one of the characters of `ends`. */
  read(ends: string): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const c = this.#text[this.#at]!;
      if (ends !== "" && ends.includes(c)) return result;
      if (c === "$") result += this.#variable();
      else if (c === this.#escape) {
        // An escape at the end of the text stands for itself.
        const next = this.#text[this.#at + 1];
        if (this.#keepQuotes && next !== "$" && next !== this.#escape) result += c + (next ?? "");
        else result += next ?? c;
        this.#at += 2;
      } else if (c === "'" && !this.#keepQuotes) result += this.#singleQuoted();
      else if (c === '"' && !this.#keepQuotes) result += this.#doubleQuoted();
      else {
        result += c;
        this.#at++;
      }
    }
    return result;
  }

  #singleQuoted(): string {
    const close = this.#text.indexOf("'", this.#at + 1);
    if (close < 0) throw new Unreadable("unexpected end of statement while looking for matching single-quote");
    const inner = this.#text.slice(this.#at + 1, close);
    this.#at = close + 1;
    return inner;
  }

  #doubleQuoted(): string {
    let result = "";
    for (this.#at++; ;) {
      const c = this.#text[this.#at];
      if (c === undefined) throw new Unreadable("unexpected end of statement while looking for matching double-quote");
      if (c === '"') {
        this.#at++;
        return result;
      }
      if (c === "$") {
        result += this.#variable();
        continue;
      }
      const next = this.#text[this.#at + 1];
      // Within double quotes, an escape has its special meaning only before these characters.
      if (c === this.#escape && next !== undefined && (next === '"' || next === "$" || next === this.#escape)) {
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
    const rest = this.#text.slice(this.#at, this.#at + 256);
    const name = /^(?:[A-Za-z_]\w*|\d+|[@*#?!$-])/.exec(rest)?.[0];
    if (name === undefined) return "$";
    this.#at += name.length;
    return this.#environment.get(name) ?? "";
  }

  #braced(): string {
    if (++this.#depth > deepest) throw new Unreadable(`more than ${deepest} substitutions inside each other`);
    this.#at++;
    let end = this.#at;
    while (/\w/.test(this.#text[end] ?? "")) end++;
    if (end === this.#at && /[@*#?!$-]/.test(this.#text[end] ?? "")) end++;
    const name = this.#text.slice(this.#at, end);
    this.#at = end;
    if (this.#text[end] === undefined) throw new Unreadable("syntax error: missing '}'");
    if (name === "") throw new Unreadable("bad substitution");
    const result = this.#substitution(name, this.#environment.get(name));
    if (this.#text[this.#at] !== "}") throw new Unreadable("syntax error: missing '}'");
    this.#at++;
    this.#depth--;
    return result;
  }

  /** What follows the name, up to the closing brace. */
  #substitution(name: string, value: string | undefined): string {
    const first = this.#text[this.#at]!;
    if (first === "}") return value ?? "";
    this.#at++;
    switch (first) {
      case ":":
      case "-":
      case "+":
      case "?":
        return this.#conditional(name, value, first);
      case "#":
      case "%": {
        const greedy = this.#text[this.#at] === first;
        if (greedy) this.#at++;
        const pattern = new Pattern(this.#patternText("}"), this.#escape);
        return first === "#" ? pattern.withoutPrefix(value ?? "", greedy) : pattern.withoutSuffix(value ?? "", greedy);
      }
      case "/": {
        const all = this.#text[this.#at] === "/";
        if (all) this.#at++;
        const pattern = new Pattern(this.#patternText("/}"), this.#escape);
        let replacement = "";
        if (this.#text[this.#at] === "/") {
          this.#at++;
          replacement = this.read("}");
        }
        return pattern.replaced(value ?? "", replacement, all);
      }
      default:
        throw new Unreadable(`unsupported modifier (${first}) in substitution`);
    }
  }

  /** Its escapes stay, because they have a meaning in the pattern. */
  #patternText(ends: string): string {
    let result = "";
    while (this.#at < this.#text.length && !ends.includes(this.#text[this.#at]!)) {
      const c = this.#text[this.#at]!;
      if (c === this.#escape) {
        result += this.#text.slice(this.#at, this.#at + 2);
        this.#at += 2;
      } else if (c === "$") result += this.#variable();
      else {
        result += c;
        this.#at++;
      }
    }
    return result;
  }

  /** `${NAME:-word}` and similar forms; without the colon, an empty value counts as a value. */
  #conditional(name: string, value: string | undefined, first: string): string {
    const colon = first === ":";
    const modifier = colon ? this.#text[this.#at++] : first;
    if (modifier === undefined) throw new Unreadable("syntax error: missing '}'");
    if (!"-+?".includes(modifier)) throw new Unreadable(`unsupported modifier (${modifier}) in substitution`);
    const word = this.read("}");
    const counts = colon ? (value ?? "") !== "" : value !== undefined;
    if (modifier === "+") return counts ? word : "";
    if (counts) return value ?? "";
    if (modifier === "-") return word;
    if (this.#text[this.#at] !== "}") throw new Unreadable("syntax error: missing '}'");
    throw new Unreadable(`${name}: ${word === "" ? "not allowed to be unset" : word}`);
  }
}

/** `["a","b"]`; undefined for anything else, which is then a line of shell or plain words. @throws DockerfileError */
export function jsonForm(text: string): readonly string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || !value.every((word) => typeof word === "string"))
    throw wrong("when using JSON array syntax, arrays must be comprised of strings only");
  return value;
}
