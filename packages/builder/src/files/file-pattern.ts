/** Go's filepath.Match for one part of a path: `*`, `?`, `[a-z]`, `[^a]`, and a backslash. Linear in the text for each star. */
import { EngineError } from "@fathom/base";

type Token = { readonly kind: "star" } | { readonly kind: "one"; readonly test: (letter: string) => boolean };

/** @throws EngineError invalid-argument "syntax error in pattern" */
export function matcherOf(pattern: string): (name: string) => boolean {
  const tokens = tokensOf([...pattern]);
  return (name) => {
    const letters = [...name];
    let at = 0;
    let token = 0;
    let star: { readonly token: number; at: number } | undefined;
    while (at < letters.length) {
      const here = tokens[token];
      if (here?.kind === "star") star = { token: token++, at };
      else if (here !== undefined && here.test(letters[at]!)) {
        at++;
        token++;
      } else if (star === undefined) return false;
      else {
        at = ++star.at;
        token = star.token + 1;
      }
    }
    while (tokens[token]?.kind === "star") token++;
    return token === tokens.length;
  };
}

function tokensOf(letters: readonly string[]): Token[] {
  const bad = (): EngineError => new EngineError("invalid-argument", "syntax error in pattern");
  const tokens: Token[] = [];
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i]!;
    if (letter === "*") tokens.push({ kind: "star" });
    else if (letter === "?") tokens.push({ kind: "one", test: () => true });
    else if (letter === "[") {
      const ranges: (readonly [string, string])[] = [];
      i++;
      const negated = letters[i] === "^";
      if (negated) i++;
      const next = (): string => {
        if (letters[i] === "\\") i++;
        const found = letters[i++];
        if (found === undefined) throw bad();
        return found;
      };
      do {
        if (letters[i] === undefined || letters[i] === "-" || (letters[i] === "]" && ranges.length === 0)) throw bad();
        const low = next();
        let high = low;
        if (letters[i] === "-") {
          i++;
          if (letters[i] === "]") throw bad();
          high = next();
        }
        ranges.push([low, high]);
      } while (letters[i] !== "]");
      tokens.push({ kind: "one", test: (one) => ranges.some(([low, high]) => low <= one && one <= high) !== negated });
    } else {
      const literal = letter === "\\" ? letters[++i] : letter;
      if (literal === undefined) throw bad();
      tokens.push({ kind: "one", test: (one) => one === literal });
    }
  }
  return tokens;
}
