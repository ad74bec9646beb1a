/**
 * `--change` of commit and import: Dockerfile instructions that change an image's configuration. Only instructions that need no build are
 * supported; the error for others names them.
 */
import { posix } from "node:path";
import { EngineError } from "@fathom/base";
import type { ImageConfig } from "@fathom/spec";
import { environmentOf, expandWord, splitWords, type Environment } from "./dockerfile-words.ts";
import { parseSignal } from "@fathom/containers";

export type RunConfig = NonNullable<ImageConfig["config"]>;
type Mutable = { -readonly [K in keyof RunConfig]: RunConfig[K] };

/** Limit for the number of instructions, and of words in one. No image has more of anything. */
const mostParts = 10_000;

/** The number of all possible ports: from 1 to 65535 for each protocol. */
const mostPorts = 3 * 65_535;

/**
 * The lists and maps to which instructions add entries. A request may contain very many instructions. The cost of each depends on its own
 * length, not on the instructions before it.
 */
interface State {
  readonly config: Mutable;
  readonly environment: EnvironmentList;
  readonly labels: Map<string, string>;
  readonly ports: Map<string, object>;
  readonly volumes: Map<string, object>;
  readonly triggers: string[];
  /** How many ports were named, with repetitions. */
  portCount: number;
  /** A CMD came before, so an ENTRYPOINT after it keeps the command. */
  cmdGiven: boolean;
}

/** @throws invalid-argument "FROM is not a valid change command" and others, in Docker's words */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  if (changes.length === 0) return config;
  const state: State = {
    config: { ...config },
    environment: new EnvironmentList(config.Env ?? []),
    labels: new Map(Object.entries(config.Labels ?? {})),
    ports: new Map(Object.entries(config.ExposedPorts ?? {})),
    volumes: new Map(Object.entries(config.Volumes ?? {})),
    triggers: [...(config.OnBuild ?? [])],
    portCount: 0,
    cmdGiven: false,
  };
  const instructions = instructionsOf(changes.join("\n"));
  if (instructions.length === 0) throw bad("file with no instructions");
  if (instructions.length > mostParts) throw bad(`${instructions.length} instructions are more than ${mostParts}`);
  for (const { name } of instructions)
    if (!known.has(name.toUpperCase())) throw bad(`${name} is not a valid change command`);
  for (const { name, rest } of instructions) apply(state, name.toUpperCase(), rest);
  const has = (...names: readonly string[]): boolean =>
    instructions.some(({ name }) => names.includes(name.toUpperCase()));
  return {
    ...state.config,
    ...(has("ENV") ? { Env: state.environment.entries } : {}),
    ...(has("LABEL") ? { Labels: Object.fromEntries(state.labels) } : {}),
    ...(has("EXPOSE") ? { ExposedPorts: Object.fromEntries(state.ports) } : {}),
    ...(has("ONBUILD") ? { OnBuild: state.triggers } : {}),
    ...(has("VOLUME") ? { Volumes: Object.fromEntries(state.volumes) } : {}),
  };
}

/** NAME=value entries in their order. When a name is already in the list, its first entry is replaced. */
class EnvironmentList {
  readonly entries: string[];
  readonly values: Map<string, string>;
  readonly #places = new Map<string, number>();

  constructor(entries: readonly string[]) {
    this.entries = [...entries];
    this.values = new Map(environmentOf(entries));
    for (const [index, entry] of entries.entries()) {
      const name = entry.split("=", 1)[0]!;
      if (!this.#places.has(name)) this.#places.set(name, index);
    }
  }

  set(name: string, value: string): void {
    const place = this.#places.get(name) ?? this.entries.length;
    this.#places.set(name, place);
    this.entries[place] = `${name}=${value}`;
    this.values.set(name, value);
  }
}

const known = new Set("CMD ENTRYPOINT HEALTHCHECK ENV EXPOSE LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR".split(" "));

function bad(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}

/** Lines without comments and blank lines; a backslash at the end of a line joins it with the next. */
function instructionsOf(text: string): { readonly name: string; readonly rest: string }[] {
  const lines: string[] = [];
  let begun: string | undefined;
  for (const line of text.split("\n")) {
    if (/^\s*(#|$)/.test(line)) continue;
    const goesOn = /\\\s*$/.test(line);
    begun = (begun ?? "") + (goesOn ? line.replace(/\\\s*$/, "") : line);
    if (goesOn) continue;
    lines.push(begun);
    begun = undefined;
  }
  if (begun !== undefined) lines.push(begun);
  return lines.map((line) => {
    const [, name = "", rest = ""] = /^(\S+)\s*([\s\S]*)$/.exec(line.trim()) ?? [];
    return { name, rest };
  });
}

function apply(state: State, name: string, rest: string): void {
  const { config } = state;
  const environment = state.environment.values;
  switch (name) {
    case "CMD": {
      const words = jsonForm(rest);
      config.Cmd = words ?? [...shellOf(config), ...(rest === "" ? [] : [rest])];
      state.cmdGiven = words === undefined ? rest !== "" : words.length > 0;
      return;
    }
    case "ENTRYPOINT": {
      const words = rest === "" ? [] : (jsonForm(rest) ?? [...shellOf(config), rest]);
      if (words.length > 0) config.Entrypoint = words;
      else delete config.Entrypoint;
      // The command belonged to the earlier entrypoint.
      if (!state.cmdGiven) delete config.Cmd;
      return;
    }
    case "ENV":
      for (const [key, value] of pairs(name, rest, environment)) state.environment.set(key, value);
      return;
    case "LABEL":
      for (const [key, value] of pairs(name, rest, environment)) state.labels.set(key, value);
      return;
    case "EXPOSE": {
      needOne(name, rest);
      const words = rest.split(/\s+/).flatMap((word) => expandWord(word, environment).split(/\s+/));
      for (const word of words) if (word !== "") exposePorts(state, word);
      return;
    }
    case "VOLUME": {
      needOne(name, rest);
      const paths = (jsonForm(rest) ?? rest.split(/\s+/)).map((path) => expandWord(path.trim(), environment));
      if (paths.includes("")) throw bad("VOLUME specified can not be an empty string");
      for (const path of paths) state.volumes.set(path, {});
      return;
    }
    case "USER":
      config.User = single(name, rest, environment);
      return;
    case "WORKDIR": {
      const path = single(name, rest, environment);
      config.WorkingDir = posix.resolve("/", config.WorkingDir ?? "", path);
      return;
    }
    case "STOPSIGNAL":
      config.StopSignal = single(name, rest, environment);
      parseSignal(config.StopSignal);
      return;
    case "ONBUILD": {
      needOne(name, rest);
      const trigger = rest.split(/\s/, 1)[0]!.toUpperCase();
      if (trigger === "ONBUILD") throw bad("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
      if (trigger === "FROM" || trigger === "MAINTAINER") throw bad(`${trigger} isn't allowed as an ONBUILD trigger`);
      state.triggers.push(rest);
      return;
    }
    case "HEALTHCHECK":
      needOne(name, rest);
      config.Healthcheck = healthcheck(rest);
  }
}

function needOne(name: string, rest: string): void {
  if (rest === "") throw bad(`${name} requires at least one argument`);
}

function single(name: string, rest: string, environment: Environment): string {
  if (rest === "") throw bad(`${name} requires exactly one argument`);
  return expandWord(rest, environment);
}

function shellOf(config: RunConfig): readonly string[] {
  return config.Shell ?? ["/bin/sh", "-c"];
}

/** `["a","b"]`; undefined for anything else, which is then a line of shell or plain words. */
function jsonForm(text: string): readonly string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || !value.every((word) => typeof word === "string"))
    throw bad("when using JSON array syntax, arrays must be comprised of strings only");
  return value;
}

/** `A=1 B="two words" C=three\ words`, or the old form `A the rest`. */
function pairs(name: string, text: string, environment: Environment): [string, string][] {
  needOne(name, text);
  const found: [string, string][] = [];
  const words = splitWords(text);
  if (words.length > mostParts) throw bad(`${name} has ${words.length} words, more than ${mostParts}`);
  if (!words[0]!.includes("=")) {
    const [, key, value] = /^(\S+)\s+([\s\S]+)$/.exec(text) ?? [];
    if (key === undefined || value === undefined) throw bad(`${name} must have two arguments`);
    found.push([key, value]);
  }
  for (const word of found.length > 0 ? [] : words) {
    const equals = word.indexOf("=");
    if (equals < 0)
      throw bad(`Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`);
    found.push([word.slice(0, equals), word.slice(equals + 1)]);
  }
  if (found.some(([key]) => key === "")) throw bad(`${name} names can not be blank`);
  return found.map(([key, value]) => [expandWord(key, environment), expandWord(value, environment)]);
}

/** "80", "80/udp", "80-82". From "8080:80" only the container's port is used, because nothing is published here. */
function exposePorts(state: State, spec: string): void {
  const [ports = "", protocol = "tcp"] = spec.slice(spec.lastIndexOf(":") + 1).split("/");
  if (ports === "") throw bad(`no port specified: ${spec}<empty>`);
  const kind = protocol.toLowerCase() || "tcp";
  if (!["tcp", "udp", "sctp"].includes(kind)) throw bad(`invalid proto: ${kind}`);
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports) ?? [];
  const start = Number(first);
  const end = Number(last);
  if (first === undefined || end > 65535 || start > end) throw bad(`invalid containerPort: ${ports}`);
  state.portCount += end - start + 1;
  if (state.portCount > mostPorts) throw bad(`EXPOSE names more than ${mostPorts} ports`);
  for (let port = start; port <= end; port++) state.ports.set(`${port}/${kind}`, {});
}

const durations: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

const healthOptions: Readonly<Record<string, keyof NonNullable<RunConfig["Healthcheck"]>>> = {
  interval: "Interval",
  timeout: "Timeout",
  retries: "Retries",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};

function healthcheck(text: string): NonNullable<RunConfig["Healthcheck"]> {
  let rest = text;
  const options: Record<string, number> = {};
  for (let match = /^--(\S*)\s*/.exec(rest); match !== null; match = /^--(\S*)\s*/.exec(rest)) {
    const [name = "", value] = match[1]!.split(/=(.*)/s, 2);
    const key = healthOptions[name];
    if (key === undefined) throw bad(`unknown flag: --${name}`);
    if (value === undefined) throw bad(`missing a value on flag: --${name}`);
    const number = value === "" ? 0 : name === "retries" ? retries(value) : interval(name, value);
    if (number !== 0) options[key] = number;
    rest = rest.slice(match[0].length);
  }
  const [, type = "", command = ""] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  switch (type.toUpperCase()) {
    case "NONE":
      if (command !== "") throw bad("HEALTHCHECK NONE takes no arguments");
      return { Test: ["NONE"] };
    case "CMD": {
      if (command === "") throw bad("Missing command after HEALTHCHECK CMD");
      const words = jsonForm(command);
      return { Test: words === undefined ? ["CMD-SHELL", command] : ["CMD", ...words], ...options };
    }
    case "":
      throw bad("HEALTHCHECK requires at least one argument");
    default:
      throw bad(`Unknown type ${JSON.stringify(type.toUpperCase())} in HEALTHCHECK (try CMD)`);
  }
}

function retries(value: string): number {
  if (!/^[+-]?\d+$/.test(value)) throw bad(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  if (Number(value) < 0) throw bad(`--retries cannot be negative (${value})`);
  return Number(value);
}

function interval(name: string, value: string): number {
  const number = value === "0" ? 0 : nanoseconds(value);
  if (number !== 0 && number < 1e6) throw bad(`Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  return number;
}

function nanoseconds(text: string): number {
  let total = 0;
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[+-]/, "");
  do {
    const match = /^(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/.exec(rest);
    if (!match) throw bad(`time: invalid duration ${JSON.stringify(text)}`);
    total += Number(match[1]) * durations[match[2]!]!;
    rest = rest.slice(match[0].length);
  } while (rest !== "");
  return sign * Math.round(total);
}
