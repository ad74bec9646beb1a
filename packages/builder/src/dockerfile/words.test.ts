import { expect, test } from "bun:test";
import { DockerfileError } from "./dockerfile-error.ts";
import { expandWord, expandWords, splitWords } from "./words.ts";

const environment = new Map([
  ["a", "one"],
  ["empty", ""],
  ["path", "/usr/local/lib/x.tar.gz"],
  ["two", "b c"],
]);
const expand = (text: string): string => expandWord(text, { environment });

test.each([
  ["$a.${a}x$nope", "one.onex"],
  ["'$a' \"$a\" \\$a", "$a one $a"],
  ["${nope:-d}|${empty:-d}|${empty-d}|${a:-d}", "d|d||one"],
  ["${a:+s}|${nope:+s}|${empty+s}|${empty:+s}", "s||s|"],
  ["${nope:-${a:+${two}}}", "b c"],
  ["${path#*/}|${path##*/}", "usr/local/lib/x.tar.gz|x.tar.gz"],
  ["${path%.*}|${path%%.*}", "/usr/local/lib/x.tar|/usr/local/lib/x"],
  ["${path/l?b/LIB}|${path//l/L}|${a/o}", "/usr/local/LIB/x.tar.gz|/usr/LocaL/Lib/x.tar.gz|ne"],
  ["${path//\\//-}", "-usr-local-lib-x.tar.gz"],
  ["${a?no}${a:?no}", "oneone"],
  ['"a\\"b\\n"', 'a"b\\n'],
  ["$", "$"],
  ["end\\", "end\\"],
])("%s becomes %s", (text, result) => expect(expand(text)).toBe(result));

test.each([
  ["${a", "missing '}'"],
  ["${", "missing '}'"],
  ["${}", "bad substitution"],
  ["${a!x}", "unsupported modifier (!) in substitution"],
  ["${nope:?}", "nope: not allowed to be unset"],
  ["${nope?why}", "nope: why"],
  ["'x", "looking for matching single-quote"],
  ["${a:-".repeat(100), "more than 50 substitutions"],
])("%s is rejected", (text, reason) => {
  expect(() => expand(text)).toThrow(DockerfileError);
  expect(() => expand(text)).toThrow(reason);
});

test("the other escape, a heredoc's text, words, and splitting", () => {
  expect(expandWord("a`$b\\$a", { environment, escape: "`" })).toBe("a$b\\one");
  expect(expandWord("'$a' \"${two}\" \\$a \\n", { environment, keepQuotes: true })).toBe("'one' \"b c\" $a \\n");
  expect(expandWords("x$two", { environment })).toEqual(["xb", "c"]);
  expect(splitWords("a 'b c' d\\ e \"f g\"h")).toEqual(["a", "'b c'", "d\\ e", '"f g"h']);
});

test("a pattern for a long value is refused instead of taking very long", () => {
  const long = new Map([["v", "x".repeat(50_000)]]);
  expect(() => expandWord("${v//*y/z}", { environment: long })).toThrow("too long for a pattern");
});
