/**
 * JSON text of a request body. The runtime's parser does the work. When it rejects the text, our own scan finds the message that Docker's
 * clients know: empty, cut off, more than one value, or a wrong character.
 */
import { EngineError } from "@fathom/base";

/** @throws invalid-argument "invalid JSON: …" or "unexpected content after JSON" */
export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EngineError("invalid-argument", explain(text), { cause });
  }
}

function explain(text: string): string {
  const scan = new Scanner(text);
  const problem = scan.value();
  switch (problem) {
    case undefined:
      return "unexpected content after JSON";
    case "empty":
      return "invalid JSON: EOF";
    case "cut":
      return "invalid JSON: unexpected EOF";
    case "wrong":
      return `invalid JSON: invalid character ${quoted(text, scan.position)} at offset ${scan.position}`;
  }
}

/** At most one character; never a control character or half of a surrogate pair. */
function quoted(text: string, position: number): string {
  return JSON.stringify(String.fromCodePoint(text.codePointAt(position) ?? 0xfffd));
}

type Problem = "empty" | "cut" | "wrong" | undefined;

const scalar = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
const cutScalar = /(?:t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|n(?:u(?:ll?)?)?|-?(?:\d[\d.eE+-]*)?)$/y;
// eslint-disable-next-line no-control-regex
const text = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;
// eslint-disable-next-line no-control-regex
const cutText = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*(?:\\(?:u[\da-fA-F]{0,3})?)?$/y;

/** Finds the end of the first value, or the first error. It is not recursive, because a hostile text may be nested very deeply. */
class Scanner {
  position = 0;
  readonly #text: string;

  constructor(source: string) {
    this.#text = source;
  }

  value(): Problem {
    const closers: string[] = [];
    this.#space();
    if (this.position >= this.#text.length) return "empty";
    for (;;) {
      // A value is expected here.
      this.#space();
      const open = this.#text[this.position];
      if (open === undefined) return "cut";
      if (open === "{" || open === "[") {
        this.position++;
        this.#space();
        if (this.#text[this.position] === (open === "{" ? "}" : "]")) this.position++;
        else {
          closers.push(open === "{" ? "}" : "]");
          if (open === "{") {
            const problem = this.#key();
            if (problem !== undefined) return problem;
          }
          continue;
        }
      } else {
        const problem = this.#scalar();
        if (problem !== undefined) return problem;
      }
      // A value has ended here.
      for (;;) {
        const closer = closers.at(-1);
        if (closer === undefined) return undefined;
        this.#space();
        const next = this.#text[this.position];
        if (next === undefined) return "cut";
        if (next === ",") {
          this.position++;
          if (closer === "}") {
            const problem = this.#key();
            if (problem !== undefined) return problem;
          }
          break;
        }
        if (next !== closer) return "wrong";
        this.position++;
        closers.pop();
      }
    }
  }

  #space(): void {
    while (" \t\r\n".includes(this.#text[this.position] ?? "x")) this.position++;
  }

  #match(pattern: RegExp): boolean {
    pattern.lastIndex = this.position;
    if (!pattern.test(this.#text)) return false;
    this.position = pattern.lastIndex;
    return true;
  }

  #scalar(): Problem {
    if (this.#match(text) || this.#match(scalar)) return undefined;
    const start = this.position;
    const cut = this.#match(cutText) || this.#match(cutScalar);
    if (!cut) this.position = start;
    return cut ? "cut" : "wrong";
  }

  #key(): Problem {
    this.#space();
    if (this.position >= this.#text.length) return "cut";
    if (this.#text[this.position] !== '"') return "wrong";
    const problem = this.#scalar();
    if (problem !== undefined) return problem;
    this.#space();
    const colon = this.#text[this.position];
    if (colon === undefined) return "cut";
    if (colon !== ":") return "wrong";
    this.position++;
    return undefined;
  }
}
