/**
 * Checks that tests can fail. An assertion on a promise must be awaited; without await it is judged after its test has passed, or never. No
 * test waits for a fixed time: a wait is a loop that checks a condition and has a deadline. When the test is about a length of time, the line
 * says so:
 * `// sleep: WHY`, on it or on the line before.
 */
import { Glob } from "bun";
import { join, resolve } from "node:path";

/** Index after the parenthesis that closes the one at `open`; strings and comments are ignored. */
function closing(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"' || char === "'" || char === "`") {
      for (at++; at < text.length && text[at] !== char; at++) if (text[at] === "\\") at++;
    } else if (char === "/" && text[at + 1] === "/") at = text.indexOf("\n", at);
    else if ("([{".includes(char)) depth++;
    else if (")]}".includes(char) && --depth === 0) return at + 1;
  }
  return text.length;
}

const lineOf = (text: string, at: number): number => text.slice(0, at).split("\n").length;

/** Lines of assertions on promises that nobody awaits. */
export function unawaited(text: string): number[] {
  const lines: number[] = [];
  for (const match of text.matchAll(/\bexpect\s*(?=\()/g)) {
    const after = text.slice(closing(text, match.index + match[0].length));
    if (!/^\s*\.\s*(not\s*\.\s*)?(rejects|resolves)\b/.test(after)) continue;
    // Passed to something: awaited, returned, part of a list, or an argument.
    if (!/(\bawait|\breturn|=>|[([,=?:])$/.test(text.slice(0, match.index).trimEnd()))
      lines.push(lineOf(text, match.index));
  }
  return lines;
}

const sleep = /\bBun\.sleep(Sync)?\(|\bsetTimeout\(|\bsleepSync\(/;
/** A loop checks its condition again after such a pause. */
const loop = /\b(for|while)\s*\(/;

/** Lines of fixed waits that have no reason. */
export function fixedSleeps(text: string): number[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    if (!sleep.test(line) || /\/\/ sleep: \S/.test(line) || /^\s*\/\/ sleep: \S/.test(lines[index - 1] ?? ""))
      return [];
    // The loop is on the line itself or around it; conditions may be between the two.
    let indent = line.search(/\S/);
    if (loop.test(line)) return [];
    for (let above = index - 1; above >= 0 && above >= index - 6; above--) {
      const other = lines[above]!;
      if (other.search(/\S/) < 0 || other.search(/\S/) >= indent) continue;
      if (loop.test(other)) return [];
      if (!/^\s*(\} )?(if|else)\b/.test(other)) return [index + 1];
      indent = other.search(/\S/);
    }
    return [index + 1];
  });
}

if (import.meta.main) {
  const root = resolve(import.meta.dir, "..");
  const problems: string[] = [];
  for (const file of new Glob("{packages,apps,test,bench}/**/*.test.ts").scanSync(root)) {
    if (file.includes("node_modules")) continue;
    const text = await Bun.file(join(root, file)).text();
    for (const line of unawaited(text)) problems.push(`await-rejections: ${file}:${line}: put await before expect`);
    for (const line of fixedSleeps(text))
      problems.push(`no-fixed-sleep: ${file}:${line}: wait for a condition with a deadline, or say why: // sleep: WHY`);
  }
  for (const problem of problems.sort()) console.error(problem);
  process.exit(problems.length > 0 ? 1 : 0);
}
