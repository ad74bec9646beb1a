/**
 * Regular expressions that clients give. The runtime's own engine goes back and forth (`(a+)+$` over thirty letters stands for minutes), so these are
 * RE2: Go's syntax, which Docker's users write, in a time linear in the text. What a pattern may cost in all is bounded too.
 */
import { EngineError, messageOf } from "@fathom/base";

/** Characters of a pattern, and the instructions that it may become (`a{0,1000}` is a thousand). */
const maxPatternLength = 1000;
const maxInstructions = 2000;
/** Instructions times characters, over all texts that one pattern is held against: some tenths of a second at worst. */
const maxSteps = 10_000_000;

/** Letters with nothing special among them, perhaps tied to the begin or the end: most filters. They need no engine, which takes 8 MB. */
const plain = /^(\^?)((?:[\w/ =:@-]|\\[./])*)(\$?)$/;

type Re2 = typeof import("re2js").RE2JS;

/** Loaded when the first pattern comes. */
let engine: Re2 | undefined;

/**
 * A test for texts that hold a match of `pattern` anywhere, as Go's regexp.MatchString.
 * @throws invalid-argument in Go's words, here and from the test when the pattern takes too long
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
