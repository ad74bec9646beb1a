/**
 * Regular expressions from clients. The runtime's own engine uses backtracking (`(a+)+$` on thirty letters takes minutes). So these are RE2:
 * Go's syntax, which Docker's users write, with a time that is linear in the text. The total cost of a pattern has a limit too.
 */
import { EngineError, messageOf } from "@fathom/base";

/** Limits for the characters of a pattern, and for the instructions that it becomes (`a{0,1000}` is a thousand). */
const maxPatternLength = 1000;
const maxInstructions = 2000;
/** Instructions times characters, for all texts together that one pattern is matched with: some tenths of a second at most. */
const maxSteps = 10_000_000;

/** Plain characters, perhaps anchored at the beginning or the end: most filters. They do not need the engine, which takes 8 MB. */
const plain = /^(\^?)((?:[\w/ =:@-]|\\[./])*)(\$?)$/;

type Re2 = typeof import("re2js").RE2JS;

/** Loaded when the first pattern comes. */
let engine: Re2 | undefined;

/**
 * Returns a test for texts that contain a match of `pattern` anywhere, as Go's regexp.MatchString.
 * @throws invalid-argument in Go's words; the test also throws it when the pattern takes too long
 */
export function compilePattern(pattern: string): (text: string) => boolean {
  const simple = plain.exec(pattern);
  if (simple !== null) {
    const [, begin, escaped = "", end] = simple;
    const letters = escaped.replaceAll("\\", "");
    if (begin && end) return (text) => text === letters;
    if (begin) return (text) => text.startsWith(letters);
    if (end) return (text) => text.endsWith(letters);
    return (text) => text.includes(letters);
  }
  const expression = compile(pattern);
  const instructions = expression.programSize();
  if (instructions > maxInstructions) throw tooLarge(pattern);
  let steps = 0;
  return (text) => {
    steps += instructions * text.length;
    if (steps > maxSteps) throw tooLarge(pattern);
    return expression.test(text);
  };
}

/** The test of a `name` filter: a regular expression; if it is invalid, it is used as plain text. */
export function nameTest(value: string): (name: string) => boolean {
  try {
    return compilePattern(value);
  } catch {
    return (name) => name.includes(value);
  }
}

function compile(pattern: string): InstanceType<Re2> {
  if (pattern.length > maxPatternLength) throw tooLarge(pattern);
  engine ??= (require("re2js") as { readonly RE2JS: Re2 }).RE2JS;
  try {
    return engine.compile(pattern);
  } catch (error) {
    throw new EngineError("invalid-argument", messageOf(error), { cause: error });
  }
}

function tooLarge(pattern: string): EngineError {
  const shown = pattern.length > 100 ? `${pattern.slice(0, 100)}…` : pattern;
  return new EngineError(
    "invalid-argument",
    `error parsing regexp: expression too large: \`${shown}\`: use a shorter pattern, with smaller counts`,
  );
}
