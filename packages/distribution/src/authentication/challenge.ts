/** WWW-Authenticate (RFC 9110 section 11.6.1): one header may hold several challenges, each with its parameters. */

export interface Challenge {
  /** Lower case: "bearer", "basic". */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;

/** The list ends at the first part that cannot be read; the function never throws. */
export function parseChallenges(header: string | null): Challenge[] {
  const text = (header ?? "").slice(0, 8192);
  const found: Challenge[] = [];
  let parameters: Record<string, string> = {};
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at = pattern.lastIndex;
    return match ?? undefined;
  };
  const skip = (): void => {
    while (at < text.length && (text[at] === " " || text[at] === "\t" || text[at] === ",")) at++;
  };
  for (;;) {
    skip();
    const word = take(token)?.[0];
    if (word === undefined) return found;
    const equals = /[ \t]*=[ \t]*/y;
    if (found.length > 0 && take(equals)) {
      const value = text[at] === '"' ? take(quoted)?.[1]?.replace(/\\(.)/g, "$1") : take(token)?.[0];
      if (value === undefined) return found;
      parameters[word.toLowerCase()] = value;
    } else {
      parameters = {};
      found.push({ scheme: word.toLowerCase(), parameters });
    }
  }
}
