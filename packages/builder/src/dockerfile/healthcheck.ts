/** The instruction HEALTHCHECK. */
import { wrong } from "./dockerfile-error.ts";
import type { Healthcheck } from "./instructions.ts";
import { suggestion } from "./suggest.ts";
import { jsonForm } from "./words.ts";

const durations: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

const healthOptions: Readonly<Record<string, keyof Healthcheck>> = {
  interval: "Interval",
  timeout: "Timeout",
  retries: "Retries",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};

/** The arguments of HEALTHCHECK: options, then NONE or CMD with a command. @throws DockerfileError */
export function healthcheck(flags: readonly string[], rest: string): Healthcheck {
  const options: Record<string, number> = {};
  for (const flag of flags) {
    const [name = "", value] = flag.slice(2).split(/=(.*)/s, 2);
    const key = Object.hasOwn(healthOptions, name) ? healthOptions[name] : undefined;
    if (key === undefined)
      throw wrong(`unknown flag: --${name}${suggestion(name, Object.keys(healthOptions)).replace("mean ", "mean --")}`);
    if (value === undefined) throw wrong(`missing a value on flag: --${name}`);
    const number = value === "" ? 0 : name === "retries" ? retries(value) : interval(name, value);
    if (number !== 0) options[key] = number;
  }
  const [, type = "", command = ""] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
  switch (type.toUpperCase()) {
    case "NONE":
      if (command !== "") throw wrong("HEALTHCHECK NONE takes no arguments");
      return { Test: ["NONE"] };
    case "CMD": {
      if (command === "") throw wrong("Missing command after HEALTHCHECK CMD");
      const words = jsonForm(command);
      return { Test: words === undefined ? ["CMD-SHELL", command] : ["CMD", ...words], ...options };
    }
    case "":
      throw wrong("HEALTHCHECK requires at least one argument");
    default:
      throw wrong(`Unknown type ${JSON.stringify(type.toUpperCase())} in HEALTHCHECK (try CMD)`);
  }
}

function retries(value: string): number {
  if (!/^[+-]?\d+$/.test(value)) throw wrong(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  if (Number(value) < 0) throw wrong(`--retries cannot be negative (${value})`);
  return Number(value);
}

function interval(name: string, value: string): number {
  const number = value === "0" ? 0 : nanoseconds(value);
  if (number !== 0 && number < 1e6) throw wrong(`Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  return number;
}

function nanoseconds(text: string): number {
  let total = 0;
  const sign = text.startsWith("-") ? -1 : 1;
  let rest = text.replace(/^[+-]/, "");
  do {
    const match = /^(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/.exec(rest);
    if (!match) throw wrong(`time: invalid duration ${JSON.stringify(text)}`);
    total += Number(match[1]) * durations[match[2]!]!;
    rest = rest.slice(match[0].length);
  } while (rest !== "");
  return sign * Math.round(total);
}
