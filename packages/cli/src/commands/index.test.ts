import { expect, test } from "bun:test";
import { argumentProblem } from "../grammar/command.ts";
import { commandHelp } from "../grammar/help.ts";
import { parseFlags } from "../grammar/flags.ts";
import { commands } from "./index.ts";

/** The words of a command line of an example: only quotes, no other syntax of a shell. */
function wordsOf(line: string): readonly string[] {
  const plain = line.replace(/ [<|] .*$/, "");
  return [...plain.matchAll(/'([^']*)'|"([^"]*)"(\S*)|(\S+)/g)].map(
    ([, a, b, rest = "", c]) => a ?? (b === undefined ? c! : b + rest),
  );
}

test("each example is a command line of a command", () => {
  const problems = commands.flatMap((command) =>
    (command.examples ?? []).flatMap(([line]) => {
      const words = wordsOf(line);
      const own = commands.find(({ path }) => path.every((word, i) => words[i] === word));
      if (own === undefined) return [`${line}: no such command`];
      const rest = words.slice(own.path.length);
      const { args } = parseFlags(own.flags, rest, { stopAtArgument: own.stopAtArgument === true });
      const problem = argumentProblem(own.args, args.length);
      return problem === undefined ? [] : [`${line}: ${problem}`];
    }),
  );
  expect(problems).toEqual([]);
  expect(commands.filter(({ examples }) => examples !== undefined).length).toBeGreaterThan(15);
});

test("every command has a help page that fits a terminal of 80 columns, except for long flags and lines of usage", () => {
  for (const command of commands) {
    const text = commandHelp(command, 80);
    expect(text).toStartWith(`Usage:  fathom ${command.path.join(" ")}`);
    for (const line of text.split("\n").slice(3))
      if (!/^ {2,6}-/.test(line) && !line.startsWith("  fathom "))
        expect({ line, fits: line.length <= 100 }).toEqual({ line, fits: true });
  }
});

test("no name stands for two commands", () => {
  const names = commands.flatMap(({ path, aliases }) => [path, ...aliases].map((words) => words.join(" ")));
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
