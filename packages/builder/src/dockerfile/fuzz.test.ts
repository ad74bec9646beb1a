/** Any text is a file or a DockerfileError, and a second reading gives the same. */
import { expect, test } from "bun:test";
import { array, assert, constantFrom, dictionary, oneof, property, string } from "fast-check";
import { DockerfileError } from "./dockerfile-error.ts";
import { parseDockerfile } from "./parse.ts";
import { instructionNames } from "./parse-instruction.ts";
import { expandWord, splitWords, unquote } from "./words.ts";

const piece = oneof(
  constantFrom(
    ...instructionNames,
    ..."\\ ` \" ' $ { } ${ ${a:- } # ## % // = == [ ] , \n \\\n <<EOF <<-E EOF E --from= --mount=type=cache --link -- AS x:1".split(
      " ",
    ),
    "\n",
    " ",
    "\t",
    "# escape=`\n",
    '["a", "b"]',
    "\u{1F600}",
  ),
  string({ maxLength: 6 }),
);
const text = array(piece, { maxLength: 40 }).map((parts) => parts.join(""));

/** The result, or the error's words; any other error fails the test. */
function outcome<T>(action: () => T): T | string {
  try {
    return action();
  } catch (error) {
    if (error instanceof DockerfileError) return `!${error.message}`;
    throw error;
  }
}

test("files", () => {
  assert(
    property(text, (body) => {
      const source = `FROM x\n${body}`;
      const first = outcome(() => parseDockerfile(source));
      expect(outcome(() => parseDockerfile(source))).toEqual(first);
      const lines = source.split("\n").length;
      if (typeof first === "string") return;
      const all = first.stages.flatMap(({ from, instructions }) => [from, ...instructions]);
      for (const { source: at } of all) {
        expect(at.place.line).toBeGreaterThanOrEqual(1);
        expect(at.endLine).toBeGreaterThanOrEqual(at.place.line);
        expect(at.endLine).toBeLessThanOrEqual(lines);
      }
    }),
    { numRuns: 3000 },
  );
});

test("words: quoting a text keeps it, and splitting loses only white space", () => {
  assert(
    property(text, dictionary(constantFrom("a", "b", "EOF"), string()), (body, values) => {
      const environment = new Map(Object.entries(values));
      outcome(() => expandWord(body, { environment }));
      outcome(() => expandWord(body, { environment, escape: "`", keepQuotes: true }));
      const quoted = body.replaceAll(/["$\\]/g, "\\$&");
      expect(expandWord(`"${quoted}"`, { environment })).toBe(body);
      expect(unquote(`"${quoted}"`, "\\")).toBe(body);
      const plain = (all: string): string => all.replaceAll(/\s/g, "");
      expect(plain(splitWords(body).join(""))).toBe(plain(body));
    }),
    { numRuns: 3000 },
  );
});
