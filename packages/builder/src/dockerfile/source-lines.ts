/**
 * The text of a Dockerfile as instructions: parser directives, comments, lines that are continued, heredocs. What an instruction means is decided
 * in parse-instruction.ts.
 */
import { DockerfileError, type Place } from "./dockerfile-error.ts";
import { heredocsOf, type Heredoc } from "./heredoc.ts";
import { splitWords, type Escape } from "./words.ts";

export interface Directives {
  /** The image of another front end; this builder has its own and ignores it. */
  readonly syntax: string | undefined;
  readonly escape: Escape;
  /** "skip=all;error=true" */
  readonly check: string | undefined;
}

export interface SourceInstruction {
  /** As it was written: "copy". */
  readonly keyword: string;
  /** The rest, without flags; lines that were continued are joined. */
  readonly rest: string;
  /** Words that begin with "--" between the keyword and the rest. */
  readonly flags: readonly string[];
  readonly heredocs: readonly Heredoc[];
  /** The whole instruction, as a step shows it. */
  readonly original: string;
  readonly place: Place;
  /** The last line of it. */
  readonly endLine: number;
}

export interface SourceFile {
  readonly directives: Directives;
  readonly instructions: readonly SourceInstruction[];
}

/** Limits for a file, an instruction, and the number of instructions. */
export const sourceLimits = { fileBytes: 4 << 20, instructions: 10_000 } as const;

const withHeredocs = new Set(["ADD", "COPY", "RUN"]);

interface Line {
  readonly text: string;
  readonly number: number;
}

/** @throws DockerfileError */
export function readSource(text: string): SourceFile {
  if (text.length > sourceLimits.fileBytes)
    throw new DockerfileError(`the Dockerfile is larger than ${sourceLimits.fileBytes} bytes`);
  const lines = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .map((line, index): Line => ({ text: line.replace(/\r$/, ""), number: index + 1 }));
  const { directives, used } = readDirectives(lines);
  const instructions: SourceInstruction[] = [];
  const reader = { lines, at: used, escape: directives.escape };
  for (let next = nextInstruction(reader); next !== undefined; next = nextInstruction(reader)) {
    instructions.push(next);
    if (instructions.length > sourceLimits.instructions)
      throw new DockerfileError(`${instructions.length} instructions are more than ${sourceLimits.instructions}`);
  }
  return { directives, instructions };
}

const directiveLine = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/;

function readDirectives(lines: readonly Line[]): { readonly directives: Directives; readonly used: number } {
  const found = new Map<string, string>();
  let escape: Escape = "\\";
  let used = 0;
  for (const line of lines) {
    const [, name = "", value = ""] = directiveLine.exec(line.text.trimStart()) ?? [];
    const key = name.toLowerCase();
    if (!["syntax", "escape", "check"].includes(key)) break;
    if (found.has(key)) throw at(line, `only one ${key} parser directive can be used`);
    if (key === "escape") {
      if (value !== "\\" && value !== "`") throw at(line, `invalid ESCAPE '${value}'. Must be \` or \\`);
      escape = value;
    }
    found.set(key, value);
    used++;
  }
  return { directives: { syntax: found.get("syntax"), escape, check: found.get("check") }, used };
}

interface Reader {
  readonly lines: readonly Line[];
  readonly escape: Escape;
  at: number;
}

function at({ text, number }: Line, reason: string): DockerfileError {
  const column = text.length - text.trimStart().length + 1;
  return new DockerfileError(reason, { line: number, column, source: text, length: text.trim().length });
}

/** A line of a comment, also with spaces before it. */
const commentLine = /^[ \t]*#/;

function nextInstruction(reader: Reader): SourceInstruction | undefined {
  const { lines, escape } = reader;
  while (reader.at < lines.length && /^\s*(#|$)/.test(lines[reader.at]!.text)) reader.at++;
  const first = lines[reader.at];
  if (first === undefined) return undefined;
  const parts: string[] = [];
  let last = first;
  for (let goesOn = true; goesOn && reader.at < lines.length; reader.at++) {
    const line = lines[reader.at]!;
    // A comment or an empty line between the lines of one instruction does not end it.
    if (parts.length > 0 && (commentLine.test(line.text) || line.text.trim() === "")) continue;
    const kept = withoutContinuation(line.text, escape);
    goesOn = kept !== undefined;
    parts.push(kept ?? line.text);
    last = line;
  }
  const joined = parts.join("").trim();
  const column = first.text.length - first.text.trimStart().length + 1;
  const [, keyword = "", arguments_ = ""] = /^(\S+)\s*([\s\S]*)$/.exec(joined) ?? [];
  const place = { line: first.number, column, source: first.text, length: keyword.length };
  const { flags, rest } = takeFlags(arguments_, escape);
  const heredocs = mayHaveHeredocs(keyword, rest) ? readHeredocs(reader, rest, place) : [];
  return {
    keyword,
    rest,
    flags,
    heredocs,
    original: joined,
    place,
    endLine: heredocs.length > 0 ? (lines[reader.at - 1]?.number ?? last.number) : last.number,
  };
}

/** The line without the escape at its end; undefined when it is not continued. Two escapes stand for one character. */
function withoutContinuation(line: string, escape: Escape): string | undefined {
  const end = line.replace(/[ \t]+$/, "");
  if (!end.endsWith(escape) || end.endsWith(escape + escape)) return undefined;
  return end.slice(0, -1);
}

function mayHaveHeredocs(keyword: string, rest: string): boolean {
  if (!rest.includes("<<")) return false;
  const name = keyword.toUpperCase();
  if (name !== "ONBUILD") return withHeredocs.has(name);
  return withHeredocs.has(rest.split(/\s/, 1)[0]!.toUpperCase());
}

function readHeredocs(reader: Reader, rest: string, place: Place): Heredoc[] {
  const { lines } = reader;
  return heredocsOf(rest, reader.escape).map((start) => {
    const content: string[] = [];
    for (; reader.at < lines.length; reader.at++) {
      const { text } = lines[reader.at]!;
      const line = start.chomp ? text.replace(/^\t+/, "") : text;
      if (line === start.name) {
        reader.at++;
        return { ...start, content: content.map((one) => `${one}\n`).join("") };
      }
      content.push(line);
    }
    throw new DockerfileError("unterminated heredoc", place);
  });
}

/** Flags stand before the first other word; "--" alone ends them. */
function takeFlags(text: string, escape: Escape): { readonly flags: string[]; readonly rest: string } {
  const flags: string[] = [];
  let rest = text;
  while (rest.startsWith("--")) {
    const [word = ""] = splitWords(rest, escape, 1);
    rest = rest.slice(word.length).trimStart();
    if (word === "--") break;
    flags.push(word);
  }
  return { flags, rest };
}
