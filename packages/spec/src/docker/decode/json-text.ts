/**
 * JSON text of a request body. The runtime's parser does the work. When it rejects the text, our own scan finds the message of Go's
 * encoding/json, which Docker's clients know: empty, cut off, more than one value, or a wrong character and what was expected there.
 */
import { EngineError } from "@fathom/base";
import { WrittenNumber } from "../../decode/go.ts";

/** @throws invalid-argument "invalid JSON: …" or "unexpected content after JSON" */
export function parseJsonText(text: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    const problem = firstProblem(text);
    throw new EngineError(
      "invalid-argument",
      problem === undefined ? "unexpected content after JSON" : `invalid JSON: ${problem.message}`,
      { cause },
    );
  }
}

/** A value in a query: Go reads it as one whole text, and so its errors have other words. @throws invalid-argument after `prefix` */
export function parseJsonValue(text: string, prefix: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new EngineError("invalid-argument", `${prefix}: ${valueProblem(text)}`, { cause });
  }
}

function valueProblem(text: string): string {
  const scanner = new Scanner(text);
  const problem = firstProblem(text, scanner);
  if (problem === undefined) return scanner.afterValue();
  return problem.isEnd ? "unexpected end of JSON input" : problem.message;
}

/** Numbers whose meaning for Go depends on how they are written: large ones, and those with a fraction or an exponent. */
const notableNumber = /\d{16}|\d[.eE]/;

function parse(text: string): unknown {
  if (!notableNumber.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key: string, value: unknown, context?: { readonly source?: string }) => {
    const source = context?.source;
    return typeof value === "number" && source !== undefined && notableNumber.test(source)
      ? new WrittenNumber(source)
      : value;
  });
}

function firstProblem(text: string, scanner: Scanner = new Scanner(text)): JsonProblem | undefined {
  try {
    scanner.value();
    return undefined;
  } catch (error) {
    if (error instanceof JsonProblem) return error;
    throw error;
  }
}

class JsonProblem extends Error {
  /** @param isEnd The text ends too early. */
  constructor(
    message: string,
    readonly isEnd = false,
  ) {
    super(message);
  }
}

/** Go's decoder rejects a text that is nested more deeply. */
const maxDepth = 10_000;

const names: Readonly<Record<string, string>> = { t: "true", f: "false", n: "null" };
const space = /[ \t\r\n]*/y;
const digits = /\d*/y;
// eslint-disable-next-line no-control-regex
const plainText = /[^"\\\u0000-\u001f]*/y;
const hexDigit = /^[\da-fA-F]$/;

/** Finds the end of the first value, or throws the first problem. It is not recursive, because a hostile text may be nested very deeply. */
class Scanner {
  #position = 0;
  readonly #text: string;

  constructor(source: string) {
    this.#text = source;
  }

  value(): void {
    const closers: ("}" | "]")[] = [];
    this.#skip(space);
    if (this.#position >= this.#text.length) throw new JsonProblem("EOF", true);
    for (;;) {
      const closer = this.#oneValue(closers.length);
      if (closer !== undefined) {
        closers.push(closer);
        if (closer === "}") this.#key();
        continue;
      }
      if (!this.#next(closers)) return;
    }
  }

  /** What is wrong with the text behind the value. */
  afterValue(): string {
    this.#skip(space);
    return this.#wrong("after top-level value").message;
  }

  /** A scalar or an empty list or object, or the start of one that is not empty: then it returns the character that closes it. */
  #oneValue(depth: number): "}" | "]" | undefined {
    this.#skip(space);
    const first = this.#text[this.#position];
    if (first !== "{" && first !== "[") {
      this.#scalar(first);
      return undefined;
    }
    if (depth >= maxDepth) throw this.#wrong("exceeded max depth");
    this.#position++;
    this.#skip(space);
    const closer = first === "{" ? "}" : "]";
    if (this.#text[this.#position] !== closer) return closer;
    this.#position++;
    return undefined;
  }

  /** Reads the text after a value: the ends of lists and objects, then a comma and the next key. Returns false at the end of the first value. */
  #next(closers: ("}" | "]")[]): boolean {
    for (let closer = closers.at(-1); closer !== undefined; closer = closers.at(-1)) {
      this.#skip(space);
      const found = this.#text[this.#position];
      if (found !== closer && found !== ",")
        throw this.#wrong(closer === "}" ? "after object key:value pair" : "after array element");
      this.#position++;
      if (found === ",") {
        if (closer === "}") this.#key();
        return true;
      }
      closers.pop();
    }
    return false;
  }

  #key(): void {
    this.#skip(space);
    if (this.#text[this.#position] !== '"') throw this.#wrong("looking for beginning of object key string");
    this.#string();
    this.#skip(space);
    this.#expect(":", "after object key");
  }

  #scalar(first: string | undefined): void {
    if (first === '"') return this.#string();
    if (first === "-" || (first !== undefined && /\d/.test(first))) return this.#number();
    const name = names[first ?? ""];
    if (name === undefined) throw this.#wrong("looking for beginning of value");
    for (const letter of name) this.#expect(letter, `in literal ${name} (expecting '${letter}')`);
  }

  #string(): void {
    this.#position++;
    for (;;) {
      this.#skip(plainText);
      const found = this.#text[this.#position];
      if (found !== '"' && found !== "\\") throw this.#wrong("in string literal");
      this.#position++;
      if (found === '"') return;
      const escape = this.#text[this.#position] ?? "";
      if (escape === "" || !'"\\/bfnrtu'.includes(escape)) throw this.#wrong("in string escape code");
      this.#position++;
      if (escape !== "u") continue;
      for (let index = 0; index < 4; index++) {
        if (!hexDigit.test(this.#text[this.#position] ?? "")) throw this.#wrong("in \\u hexadecimal character escape");
        this.#position++;
      }
    }
  }

  #number(): void {
    if (this.#text[this.#position] === "-") this.#position++;
    if (this.#text[this.#position] === "0") this.#position++;
    else this.#digits("in numeric literal");
    if (this.#text[this.#position] === ".") {
      this.#position++;
      this.#digits("after decimal point in numeric literal");
    }
    if (!"eE".includes(this.#text[this.#position] ?? " ")) return;
    this.#position++;
    if ("+-".includes(this.#text[this.#position] ?? " ")) this.#position++;
    this.#digits("in exponent of numeric literal");
  }

  #digits(where: string): void {
    const start = this.#position;
    this.#skip(digits);
    if (this.#position === start) throw this.#wrong(where);
  }

  #expect(character: string, where: string): void {
    if (this.#text[this.#position] !== character) throw this.#wrong(where);
    this.#position++;
  }

  #skip(pattern: RegExp): void {
    pattern.lastIndex = this.#position;
    pattern.test(this.#text);
    this.#position = pattern.lastIndex;
  }

  #wrong(where: string): JsonProblem {
    if (this.#position >= this.#text.length) return new JsonProblem("unexpected EOF", true);
    return new JsonProblem(`invalid character ${quoted(this.#text.codePointAt(this.#position)!)} ${where}`);
  }
}

const escapes: Readonly<Record<string, string>> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\u000b": "\\v",
  "\f": "\\f",
  "\r": "\\r",
  "'": "\\'",
  "\\": "\\\\",
};

/** Quotes a character as Go does. Go reads bytes, so a character outside ASCII shows as the first byte of its UTF-8 form. */
function quoted(codePoint: number): string {
  const byte = Buffer.from(String.fromCodePoint(codePoint))[0]!;
  const character = String.fromCharCode(byte);
  const control = byte < 0x20 || byte === 0x7f ? `\\x${byte.toString(16).padStart(2, "0")}` : character;
  return `'${escapes[character] ?? control}'`;
}
