/** Splits a Go template (text/template) into text and actions, and an action into tokens. Positions are byte columns; messages name them. */
import { TemplateError } from "./contract.ts";

export type Token =
  | { readonly kind: "field"; readonly text: string; readonly at: number; readonly spaced: boolean }
  | {
      readonly kind: "variable" | "identifier" | "number" | "string" | "symbol";
      readonly text: string;
      readonly at: number;
      readonly spaced: boolean;
    };

export type Segment =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly tokens: readonly Token[]; readonly source: string; readonly at: number };

const escapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\\": "\\",
  '"': '"',
  "'": "'",
};

/** Reads the body of a Go string or character literal, up to the closing quote. */
function readQuoted(source: string, start: number, quote: string): { text: string; end: number } {
  let text = "";
  for (let i = start; i < source.length; i++) {
    const char = source[i]!;
    if (char === quote) return { text, end: i + 1 };
    if (char === "\n") break;
    if (char !== "\\") {
      text += char;
      continue;
    }
    const next = source[++i] ?? "";
    const hex = { x: 2, u: 4, U: 8 }[next];
    if (hex !== undefined) {
      const digits = source.slice(i + 1, i + 1 + hex);
      if (!/^[0-9a-fA-F]+$/.test(digits) || digits.length < hex) throw new TemplateError("invalid syntax");
      text += String.fromCodePoint(Number.parseInt(digits, 16));
      i += hex;
    } else if (next in escapes) text += escapes[next];
    else throw new TemplateError("invalid syntax");
  }
  throw new TemplateError("unterminated quoted string");
}

function tokenize(source: string, offset: number): Token[] {
  const tokens: Token[] = [];
  let spaced = true;
  let i = 0;
  const push = (kind: Token["kind"], text: string, at: number): void => {
    tokens.push({ kind, text, at: at + offset, spaced } as Token);
    spaced = false;
  };
  while (i < source.length) {
    const char = source[i]!;
    const at = i;
    if (/\s/.test(char)) {
      spaced = true;
      i += 1;
    } else if (char === '"' || char === "'") {
      const { text, end } = readQuoted(source, i + 1, char);
      push(char === "'" ? "number" : "string", char === "'" ? String(text.codePointAt(0) ?? 0) : text, at);
      i = end;
    } else if (char === "`") {
      const end = source.indexOf("`", i + 1);
      if (end < 0) throw new TemplateError("unterminated raw quoted string");
      push("string", source.slice(i + 1, end), at);
      i = end + 1;
    } else {
      const match =
        /^(?:(?<field>\.[\p{L}_][\p{L}\p{N}_]*)|(?<variable>\$[\p{L}\p{N}_]*)|(?<number>[+-]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?))|(?<identifier>[\p{L}_][\p{L}\p{N}_]*)|(?<symbol>:=|[|().,=]))/u.exec(
          source.slice(i),
        );
      if (match === null) throw new TemplateError(`unexpected ${JSON.stringify(char)} in operand`);
      const groups = match.groups!;
      const kind = (["field", "variable", "number", "identifier", "symbol"] as const).find(
        (name) => groups[name] !== undefined,
      )!;
      push(kind, kind === "field" ? match[0].slice(1) : match[0], at);
      i += match[0].length;
    }
  }
  return tokens;
}

/** Text between actions. `{{-` and `-}}` trim it. Comments are dropped. */
export function lex(source: string): Segment[] {
  const segments: Segment[] = [];
  let position = 0;
  let trimNext = false;
  const pushText = (raw: string, trimEnd: boolean): void => {
    let text = trimNext ? raw.replace(/^[ \t\r\n]+/, "") : raw;
    if (trimEnd) text = text.replace(/[ \t\r\n]+$/, "");
    if (text !== "") segments.push({ kind: "text", text });
  };
  for (;;) {
    const open = source.indexOf("{{", position);
    if (open < 0) {
      pushText(source.slice(position), false);
      return segments;
    }
    const trimBefore = /^\{\{-[ \t\r\n]/.test(source.slice(open, open + 4));
    pushText(source.slice(position, open), trimBefore);
    const start = open + (trimBefore ? 3 : 2);
    const close = findClose(source, start);
    const trimAfter = /[ \t\r\n]-$/.test(source.slice(start, close));
    const body = source.slice(start, trimAfter ? close - 1 : close);
    if (!/^\s*\/\*[\s\S]*\*\/\s*$/.test(body)) {
      segments.push({ kind: "action", tokens: tokenize(body, start), source: body.trim(), at: start });
    }
    trimNext = trimAfter;
    position = close + 2;
  }
}

/** The index of the `}}` that ends an action. A `}}` inside a quoted string does not count. */
function findClose(source: string, start: number): number {
  let quote = "";
  for (let i = start; i < source.length; i++) {
    const char = source[i]!;
    if (quote !== "") {
      if (char === "\\" && quote !== "`") i += 1;
      else if (char === quote) quote = "";
    } else if (char === '"' || char === "`" || char === "'") quote = char;
    else if (char === "}" && source[i + 1] === "}") return i;
  }
  throw new TemplateError("unclosed action");
}
