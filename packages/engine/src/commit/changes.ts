/**
 * `--change` of commit and import: Dockerfile instructions that change an image's configuration. Only instructions that need no build are
 * supported; the error for others names them.
 */
import { posix } from "node:path";
import type { ImageConfig } from "@fathom/spec";
import { bad, environmentOf, expandWord, jsonForm, splitWords, type Environment } from "./dockerfile-words.ts";
import { healthcheck } from "./healthcheck.ts";
import { parseSignal } from "@fathom/containers";
import { inWords } from "../words/refusal-words.ts";

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
      try {
        parseSignal(config.StopSignal);
      } catch (error) {
        throw inWords(error);
      }
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
