/**
 * `.dockerignore`: which files of a context are left out. The last pattern that matches a file decides; a pattern also matches everything below a
 * directory that it names; `!` takes files in again. The words of errors are Docker's (moby/patternmatcher).
 */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";

interface Rule {
  readonly negated: boolean;
  readonly tokens: readonly Token[];
}

const mostPatterns = 10_000;

/** @returns whether a path, relative to the context, is left out. @throws invalid-argument */
export function ignoreMatcher(text: string): (path: string) => boolean {
  const rules = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .flatMap((line) => ruleOf(line.trim()));
  if (rules.length > mostPatterns)
    throw new EngineError("invalid-argument", `.dockerignore has ${rules.length} patterns, more than ${mostPatterns}`);
  return (path) => {
    const parts = path.split("/");
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    let ignored = false;
    for (const { negated, tokens } of rules)
      if (ignored === negated && prefixes.some((prefix) => matches(tokens, prefix))) ignored = !negated;
    return ignored;
  };
}

function ruleOf(line: string): Rule[] {
  const negated = line.startsWith("!");
  const given = negated ? line.slice(1).trim() : line;
  if (given === "") {
    if (negated) throw new EngineError("invalid-argument", 'illegal exclusion pattern: "!"');
    return [];
  }
  const pattern = posix.normalize(given).replace(/^\/+|\/+$/g, "");
  return pattern === "" || pattern === "." ? [] : [{ negated, tokens: tokensOf(pattern) }];
}

/** A part of a pattern. "directories" is any number of them with their slashes, or none. */
type Token =
  | { readonly kind: "one"; readonly test: (letter: string) => boolean }
  | { readonly kind: "star" | "any" | "directories" };

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const letter = pattern[i]!;
    if (letter === "*") {
      if (pattern[i + 1] !== "*") tokens.push({ kind: "star" });
      else {
        while (pattern[i + 1] === "*") i++;
        if (pattern[i + 1] === "/") {
          i++;
          tokens.push({ kind: "directories" });
        } else tokens.push({ kind: "any" });
      }
    } else if (letter === "?") tokens.push({ kind: "one", test: (one) => one !== "/" });
    else if (letter === "[") {
      const end = pattern.indexOf("]", pattern[i + 1] === "^" ? i + 3 : i + 2);
      if (end < 0) throw new EngineError("invalid-argument", "syntax error in pattern");
      tokens.push({ kind: "one", test: classOf(pattern.slice(i + 1, end)) });
      i = end;
    } else {
      const literal = letter === "\\" ? (pattern[++i] ?? "\\") : letter;
      tokens.push({ kind: "one", test: (one) => one === literal });
    }
  }
  return tokens;
}

function classOf(inner: string): (letter: string) => boolean {
  try {
    const expression = new RegExp(`^[${inner.replaceAll(/[[\]]/g, "\\$&")}]$`, "s");
    return (letter) => expression.test(letter);
  } catch (error) {
    throw new EngineError("invalid-argument", "syntax error in pattern", { cause: error });
  }
}

/**
 * Follows all ways at once. The time grows with the product of both lengths: a pattern comes from the client, and the runtime's regular
 * expressions try one way after another.
 */
function matches(tokens: readonly Token[], text: string): boolean {
  // 2 i: before token i. 2 i + 1: inside of token i, which is "directories".
  let states = new Set<number>();
  const enter = (to: Set<number>, token: number): void => {
    if (to.has(2 * token)) return;
    to.add(2 * token);
    const kind = tokens[token]?.kind;
    if (kind !== undefined && kind !== "one") enter(to, token + 1);
  };
  enter(states, 0);
  for (const letter of text.split("")) {
    const next = new Set<number>();
    for (const state of states) {
      const index = state >> 1;
      const token = tokens[index];
      if (token === undefined) continue;
      if (token.kind === "one") {
        if (token.test(letter)) enter(next, index + 1);
      } else if (token.kind === "directories") {
        next.add(2 * index + 1);
        if (letter === "/") enter(next, index + 1);
      } else if (token.kind === "any" || letter !== "/") enter(next, index);
    }
    if (next.size === 0) return false;
    states = next;
  }
  return states.has(2 * tokens.length);
}
