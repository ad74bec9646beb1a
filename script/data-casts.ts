/**
 * Finds type assertions on data from outside (files, rows, messages): a decoder or a type guard must examine such data first. The rule reads
 * text: it knows the results of the calls below, and names that are declared as `unknown`. It also finds a declaration that gives a type to the
 * `any` of JSON.parse.
 */

const readingCall = /\b(?:JSON\.parse|parseJson\w*|readObject|decode\w*|[dD]atabase\.(?:get|all))\(|\.json\(/g;
const declaredUnknown =
  /\b(?:const|let)\s+(\w+)(?::\s*unknown)?\s*=\s*(?:await\s+)?JSON\.parse\(|(?<![.\w])(\w+)\??:\s*unknown\b/g;
const typedAny =
  /\b(?:const|let)\s+(?:\w+\s*:(?!\s*unknown\b)[^=;]+?|[{[][^=;]*?)\s*=\s*(?:JSON\.parse\(|await\s[^;\n]*\.json\(\))/g;
const assertion = /^[\s)!]*\s+as\s+(?!const\b|unknown\b(?!\s+as\b))/;

/** Replaces comments, and the contents of strings, by spaces: positions and lines do not change. */
function codeOf(text: string): string {
  const blank = (part: string): string => part.replace(/[^\n]/g, " ");
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g, (part) =>
    part.startsWith("/") ? blank(part) : `"${blank(part.slice(1, -1))}"`,
  );
}

/** The position after the bracket that closes the bracket before `start`. */
function afterClosing(code: string, start: number): number {
  let depth = 1;
  let at = start;
  for (; at < code.length && depth > 0; at++) {
    if (code[at] === "(") depth++;
    else if (code[at] === ")") depth--;
  }
  return at;
}

/** The lines of `text` with such an assertion, counted from 1. */
export function castsOnData(text: string): number[] {
  const code = codeOf(text);
  const found = new Set<number>();
  const add = (position: number): void => void found.add(code.slice(0, position).split("\n").length);
  for (const { index, 0: call } of code.matchAll(readingCall)) {
    const end = afterClosing(code, index + call.length);
    if (assertion.test(code.slice(end, end + 100))) add(index);
  }
  const names = new Set([...code.matchAll(declaredUnknown)].map(([, parsed, declared]) => parsed ?? declared!));
  for (const name of names)
    for (const { index } of code.matchAll(new RegExp(`(?<![.\\w])${name}\\b`, "g")))
      if (assertion.test(code.slice(index + name.length, index + name.length + 100))) add(index);
  for (const { index } of code.matchAll(typedAny)) add(index);
  return [...found].sort((a, b) => a - b);
}
