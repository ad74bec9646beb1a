/** One instruction from its words. Errors have Docker's words and no place; the caller adds it. */
import { wrong } from "./dockerfile-error.ts";
import { readFlags, type FlagKind, type Flags } from "./flags.ts";
import { healthcheck } from "./healthcheck.ts";
import { heredocStart, type Heredoc } from "./heredoc.ts";
import type { CommandForm, CopyInstruction, FromInstruction, InstructionBody, Pair } from "./instructions.ts";
import { parseRunMount } from "./run-mount.ts";
import type { SourceInstruction } from "./source-lines.ts";
import { suggestion } from "./suggest.ts";
import { jsonForm, splitWords, type Escape } from "./words.ts";

/** Limit for the words of one instruction. No image has more of anything. */
const mostWords = 10_000;

type Input = Pick<SourceInstruction, "rest" | "flags" | "heredocs"> & { readonly escape: Escape };
type Parser = (input: Input) => InstructionBody;

const parsers: Readonly<Record<string, Parser>> = {
  ADD: (input) => copy("add", input),
  ARG: argument,
  CMD: (input) => ({ kind: "cmd", command: command(input) }),
  COPY: (input) => copy("copy", input),
  ENTRYPOINT: (input) => ({ kind: "entrypoint", command: input.rest === "" ? undefined : command(input) }),
  ENV: (input) => pairs("env", input),
  EXPOSE: (input) => {
    noFlags(input);
    const ports = input.rest.split(/\s+/).filter((word) => word !== "");
    if (ports.length === 0) throw wrong("EXPOSE requires at least one argument");
    return { kind: "expose", ports };
  },
  FROM: from,
  HEALTHCHECK: ({ flags, rest }) => ({ kind: "healthcheck", check: healthcheck(flags, rest) }),
  LABEL: (input) => pairs("label", input),
  MAINTAINER: (input) => ({ kind: "maintainer", value: one("MAINTAINER", input) }),
  ONBUILD: onbuild,
  RUN: run,
  SHELL: (input) => {
    noFlags(input);
    const words = jsonForm(input.rest);
    if (words === undefined) throw wrong("SHELL requires the arguments to be in JSON form");
    if (words.length === 0) throw wrong("SHELL requires at least one argument");
    return { kind: "shell", words };
  },
  STOPSIGNAL: (input) => ({ kind: "stopsignal", value: one("STOPSIGNAL", input) }),
  USER: (input) => ({ kind: "user", value: one("USER", input) }),
  VOLUME: (input) => {
    noFlags(input);
    const paths = (jsonForm(input.rest) ?? input.rest.split(/\s+/)).map((path) => path.trim());
    if (input.rest === "" || paths.length === 0) throw wrong("VOLUME requires at least one argument");
    if (paths.includes("")) throw wrong("VOLUME specified can not be an empty string");
    return { kind: "volume", paths };
  },
  WORKDIR: (input) => ({ kind: "workdir", value: one("WORKDIR", input) }),
};

export const instructionNames: readonly string[] = Object.keys(parsers);

/** @throws DockerfileError */
export function parseInstruction(source: SourceInstruction, escape: Escape): InstructionBody {
  const name = source.keyword.toUpperCase();
  const parser = Object.hasOwn(parsers, name) ? parsers[name] : undefined;
  if (parser === undefined)
    throw wrong(`unknown instruction: ${source.keyword}${suggestion(source.keyword, instructionNames)}`);
  return parser({ rest: source.rest, flags: source.flags, heredocs: source.heredocs, escape });
}

function noFlags({ flags, escape }: Input): void {
  readFlags(flags, {}, escape);
}

function one(name: string, input: Input): string {
  noFlags(input);
  if (input.rest === "") throw wrong(`${name} requires exactly one argument`);
  return input.rest;
}

function command(
  { rest, heredocs, flags, escape }: Input,
  known: Readonly<Record<string, FlagKind>> = {},
): CommandForm {
  readFlags(flags, known, escape);
  const words = jsonForm(rest);
  return words === undefined ? { form: "shell", line: rest, heredocs } : { form: "exec", words };
}

const stageName = /^[a-z][a-z0-9-_.]*$/;

function from({ rest, flags, escape }: Input): FromInstruction {
  const words = rest.split(/\s+/).filter((word) => word !== "");
  const [image, as, given] = words;
  if (image === undefined || ![1, 3].includes(words.length) || (as !== undefined && as.toUpperCase() !== "AS"))
    throw wrong("FROM requires either one or three arguments");
  const name = given?.toLowerCase();
  if (name !== undefined && !stageName.test(name))
    throw wrong(
      `invalid name for build stage: ${JSON.stringify(given)}, name can't start with a number or contain symbols`,
    );
  const platform = readFlags(flags, { platform: "text" }, escape).text("platform");
  return { kind: "from", image, name, platform };
}

function argument(input: Input): InstructionBody {
  noFlags(input);
  const words = splitWords(input.rest, input.escape);
  if (words.length === 0) throw wrong("ARG requires at least one argument");
  few("ARG", words);
  return {
    kind: "arg",
    arguments: words.map((word) => {
      const equals = word.indexOf("=");
      const name = equals < 0 ? word : word.slice(0, equals);
      if (name === "") throw wrong("ARG names can not be blank");
      return { name, value: equals < 0 ? undefined : word.slice(equals + 1) };
    }),
  };
}

function few(name: string, words: readonly string[]): void {
  if (words.length > mostWords) throw wrong(`${name} has ${words.length} words, more than ${mostWords}`);
}

/** `A=1 B="two words" C=three\ words`, or the old form `A the rest`. */
function pairs(kind: "env" | "label", input: Input): InstructionBody {
  noFlags(input);
  const name = kind.toUpperCase();
  const { rest, escape } = input;
  if (rest === "") throw wrong(`${name} requires at least one argument`);
  const words = splitWords(rest, escape);
  few(name, words);
  if (!words[0]!.includes("=")) {
    const [, key, value] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
    if (key === undefined || value === undefined) throw wrong(`${name} must have two arguments`);
    return { kind, pairs: [[key, value]], oldForm: true };
  }
  const found = words.map((word): Pair => {
    const equals = word.indexOf("=");
    if (equals < 0)
      throw wrong(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
  if (found.some(([key]) => key === "")) throw wrong(`${name} names can not be blank`);
  return { kind, pairs: found, oldForm: false };
}

function run(input: Input): InstructionBody {
  const known = { mount: "many", network: "text", security: "text" } as const;
  const flags = readFlags(input.flags, known, input.escape);
  const network = flags.text("network") ?? "default";
  if (network !== "default" && network !== "none" && network !== "host")
    throw wrong(`invalid network mode: ${JSON.stringify(network)}`);
  const security = flags.text("security") ?? "sandbox";
  if (security !== "sandbox" && security !== "insecure")
    throw wrong(`security ${JSON.stringify(security)} is not valid`);
  if (input.rest === "") throw wrong("RUN requires at least one argument");
  const mounts = flags.many("mount").map(parseRunMount);
  return { kind: "run", command: command(input, known), mounts, network, security };
}

const copyFlags = {
  from: "text",
  chown: "text",
  chmod: "text",
  link: "boolean",
  parents: "boolean",
  exclude: "many",
} as const;
const addFlags = {
  chown: "text",
  chmod: "text",
  link: "boolean",
  checksum: "text",
  "keep-git-dir": "boolean",
  unpack: "boolean",
  exclude: "many",
} as const;

function copy(kind: "copy" | "add", { rest, flags: given, heredocs, escape }: Input): CopyInstruction {
  const name = kind.toUpperCase();
  const flags: Flags = readFlags(given, kind === "copy" ? copyFlags : addFlags, escape);
  const words = jsonForm(rest) ?? rest.split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) throw wrong(`${name} requires at least one argument`);
  if (words.length === 1)
    throw wrong(
      `${name} requires at least two arguments, but only one was provided. Destination could not be determined`,
    );
  few(name, words);
  const starts = new Set(heredocs.map((heredoc) => heredoc.name));
  const isInline = (word: string): boolean => starts.has(heredocStart(word, escape)?.name ?? "");
  const destination = words.at(-1)!;
  if (isInline(destination)) throw wrong(`${name} cannot accept a heredoc as a destination`);
  const inline: Heredoc[] = [...heredocs];
  return {
    kind,
    sources: words.slice(0, -1).filter((word) => heredocs.length === 0 || !isInline(word)),
    inline,
    destination,
    from: flags.text("from"),
    owner: flags.text("chown"),
    mode: flags.text("chmod"),
    link: flags.boolean("link") ?? false,
    parents: flags.boolean("parents") ?? false,
    excludes: flags.many("exclude"),
    checksum: flags.text("checksum"),
    keepGitDirectory: flags.boolean("keep-git-dir") ?? false,
    unpack: flags.boolean("unpack"),
  };
}

/** The text of the trigger is kept; here only its name is checked, and that it can be read. */
function onbuild(input: Input): InstructionBody {
  noFlags(input);
  const trigger = input.rest + input.heredocs.map(({ name, content }) => `\n${content}${name}`).join("");
  if (trigger === "") throw wrong("ONBUILD requires at least one argument");
  const [word = ""] = trigger.split(/\s/, 1);
  const name = word.toUpperCase();
  if (name === "ONBUILD") throw wrong("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (name === "FROM" || name === "MAINTAINER") throw wrong(`${name} isn't allowed as an ONBUILD trigger`);
  if (!Object.hasOwn(parsers, name)) throw wrong(`unknown instruction: ${word}${suggestion(word, instructionNames)}`);
  return { kind: "onbuild", trigger };
}
