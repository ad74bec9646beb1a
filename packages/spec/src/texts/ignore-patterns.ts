/**
 * `.dockerignore`: which files of a context are left out. The last pattern that matches a file decides; a pattern also matches everything below a
 * directory that it names; `!` takes files in again. The words of errors are Docker's (moby/patternmatcher).
 */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";

interface Rule {
  readonly negated: boolean;
  readonly expression: RegExp;
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
    for (const { negated, expression } of rules)
      if (ignored === negated && prefixes.some((prefix) => expression.test(prefix))) ignored = !negated;
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
  return pattern === "" || pattern === "." ? [] : [{ negated, expression: expressionOf(pattern) }];
}

function expressionOf(pattern: string): RegExp {
  let source = "";
  for (let i = 0; i < pattern.length; i++) {
    const letter = pattern[i]!;
    if (letter === "*") {
      if (pattern[i + 1] !== "*") source += "[^/]*";
      else {
        while (pattern[i + 1] === "*") i++;
        if (pattern[i + 1] === "/") {
          i++;
          source += "(?:.*/)?";
        } else source += ".*";
      }
    } else if (letter === "?") source += "[^/]";
    else if (letter === "[") {
      const end = pattern.indexOf("]", pattern[i + 1] === "^" ? i + 3 : i + 2);
      if (end < 0) throw new EngineError("invalid-argument", "syntax error in pattern");
      const inner = pattern.slice(i + 1, end).replaceAll(/[[\]]/g, "\\$&");
      source += `[${inner}]`;
      i = end;
    } else source += (letter === "\\" ? (pattern[++i] ?? "\\") : letter).replace(/[.*+?^${}()|[\]\\/]/, "\\$&");
  }
  try {
    return new RegExp(`^${source}$`, "s");
  } catch (error) {
    throw new EngineError("invalid-argument", "syntax error in pattern", { cause: error });
  }
}
