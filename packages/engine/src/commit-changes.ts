/**
 * `--change` of commit and import: Dockerfile instructions that alter an image's configuration. Only those that need no build; the
 * others are refused by name.
 */
import { EngineError } from "@fathom/base";
import type { ImageConfig } from "@fathom/spec";

export type RunConfig = NonNullable<ImageConfig["config"]>;
type Mutable = { -readonly [K in keyof RunConfig]: RunConfig[K] };

/** @throws invalid-argument "FROM is not a valid change command" */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  const result: Mutable = { ...config };
  for (const change of changes.flatMap((text) => text.split("\n")))
    if (change.trim() !== "" && !change.trim().startsWith("#")) applyChange(result, change.trim());
  return result;
}

function applyChange(config: Mutable, change: string): void {
  const [, instruction = "", rest = ""] = /^(\S+)\s*([\s\S]*)$/.exec(change) ?? [];
  const name = instruction.toUpperCase();
  const need = (): string => {
    if (rest === "") throw new EngineError("invalid-argument", `${name} requires at least one argument`);
    return rest;
  };
  switch (name) {
    case "CMD":
      config.Cmd = commandForm(rest, config);
      return;
    case "ENTRYPOINT":
      config.Entrypoint = commandForm(rest, config);
      return;
    case "ENV": {
      const pairs = keyValues(need(), name);
      const env = new Map((config.Env ?? []).map((entry) => [entry.slice(0, entry.indexOf("=")), entry]));
      for (const [key, value] of pairs) env.set(key, `${key}=${value}`);
      config.Env = [...env.values()];
      return;
    }
    case "LABEL":
      config.Labels = { ...config.Labels, ...Object.fromEntries(keyValues(need(), name)) };
      return;
    case "EXPOSE": {
      const ports = need()
        .split(/\s+/)
        .map((port) => (port.includes("/") ? port.toLowerCase() : `${port}/tcp`));
      for (const port of ports)
        if (!/^\d{1,5}(-\d{1,5})?\/(tcp|udp|sctp)$/.test(port))
          throw new EngineError("invalid-argument", `invalid containerPort: ${port.split("/")[0]}`);
      config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map((port) => [port, {}])) };
      return;
    }
    case "VOLUME":
      config.Volumes = {
        ...config.Volumes,
        ...Object.fromEntries((jsonForm(need()) ?? need().split(/\s+/)).map((path) => [path, {}])),
      };
      return;
    case "USER":
      config.User = need();
      return;
    case "WORKDIR":
      config.WorkingDir = need().startsWith("/")
        ? need()
        : `${config.WorkingDir || "/"}/${need()}`.replace(/\/+/g, "/");
      return;
    case "STOPSIGNAL":
      config.StopSignal = need();
      return;
    case "ONBUILD":
      config.OnBuild = [...(config.OnBuild ?? []), need()];
      return;
    case "SHELL": {
      const words = jsonForm(need());
      if (words === undefined)
        throw new EngineError("invalid-argument", "SHELL requires the arguments to be in JSON form");
      config.Shell = words;
      return;
    }
    case "HEALTHCHECK":
      config.Healthcheck = healthcheck(need());
      return;
    default:
      throw new EngineError("invalid-argument", `${name} is not a valid change command`);
  }
}

/** `["a","b"]` as it is; a line of shell gets the shell in front. */
function commandForm(rest: string, config: Mutable): readonly string[] {
  return jsonForm(rest) ?? [...(config.Shell ?? ["/bin/sh", "-c"]), rest];
}

function jsonForm(text: string): readonly string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((word) => typeof word === "string") ? value : undefined;
  } catch {
    return undefined;
  }
}

/** `A=1 B="two words" C=three\ words`, or the old form `A the rest`. */
function keyValues(text: string, name: string): [string, string][] {
  const words = splitWords(text);
  if (!words[0]!.includes("=")) {
    const [, key, value] = /^(\S+)\s+([\s\S]+)$/.exec(text) ?? [];
    if (key === undefined || value === undefined)
      throw new EngineError("invalid-argument", `${name} must have two arguments`);
    return [[key, value]];
  }
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals < 1)
      throw new EngineError(
        "invalid-argument",
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

/** Words at white space, with quotes and backslashes taken away. */
function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = "";
  let open = false;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quote !== "") {
      if (c === quote) quote = "";
      else if (c === "\\" && quote === '"' && i + 1 < text.length) word += text[++i];
      else word += c;
    } else if (c === '"' || c === "'") {
      quote = c;
      open = true;
    } else if (c === "\\" && i + 1 < text.length) {
      word += text[++i];
      open = true;
    } else if (/\s/.test(c)) {
      if (open) words.push(word);
      word = "";
      open = false;
    } else {
      word += c;
      open = true;
    }
  }
  if (open) words.push(word);
  return words;
}

const durations: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

function healthcheck(text: string): NonNullable<RunConfig["Healthcheck"]> {
  if (/^none$/i.test(text)) return { Test: ["NONE"] };
  let rest = text;
  const options: Record<string, number> = {};
  for (let match = /^--([a-z-]+)=(\S+)\s+/.exec(rest); match !== null; match = /^--([a-z-]+)=(\S+)\s+/.exec(rest)) {
    const [whole, name, value] = match as unknown as [string, string, string];
    const key = {
      interval: "Interval",
      timeout: "Timeout",
      retries: "Retries",
      "start-period": "StartPeriod",
      "start-interval": "StartInterval",
    }[name];
    if (key === undefined) throw new EngineError("invalid-argument", `unknown flag: ${name}`);
    options[key] = name === "retries" ? Number(value) : nanoseconds(value);
    rest = rest.slice(whole.length);
  }
  const command = /^cmd\s+([\s\S]+)$/i.exec(rest)?.[1];
  if (command === undefined)
    throw new EngineError(
      "invalid-argument",
      `unknown type ${JSON.stringify(rest.split(/\s/)[0])} in HEALTHCHECK (try CMD)`,
    );
  const words = jsonForm(command);
  return { Test: words === undefined ? ["CMD-SHELL", command] : ["CMD", ...words], ...options };
}

function nanoseconds(text: string): number {
  let total = 0;
  let rest = text;
  while (rest !== "") {
    const match = /^(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/.exec(rest);
    if (!match) throw new EngineError("invalid-argument", `invalid duration ${JSON.stringify(text)}`);
    total += Number(match[1]) * durations[match[2]!]!;
    rest = rest.slice(match[0].length);
  }
  return total;
}
