/** ARG: which variables a step sees, with which values. */
import { platformMatches, type Platform } from "@fathom/spec";
import type { ArgInstruction } from "../dockerfile/instructions.ts";
import { expandWord, type Environment, type Escape } from "../dockerfile/words.ts";

/** They may be given without an ARG, reach RUN, and leave no trace in keys and history. */
const proxies = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

export function isProxy(name: string): boolean {
  return proxies.includes(name.toUpperCase());
}

/** Variables of every build. */
export function platformVariables(build: Platform, target: Platform | undefined): ReadonlyMap<string, string> {
  const wanted = target === undefined || platformMatches(target, build) ? build : target;
  const named = (prefix: string, { os, architecture, variant = "" }: Platform): [string, string][] => [
    [`${prefix}PLATFORM`, [os, architecture, variant].filter((part) => part !== "").join("/")],
    [`${prefix}OS`, os],
    [`${prefix}ARCH`, architecture],
    [`${prefix}VARIANT`, variant],
  ];
  return new Map([...named("BUILD", build), ...named("TARGET", wanted)]);
}

/** The arguments of one scope: the lines before the first FROM, or a stage. */
export class Arguments {
  /** Declared in this scope and with a value. */
  readonly values = new Map<string, string>();
  readonly #given: ReadonlyMap<string, string>;
  readonly #outer: ReadonlyMap<string, string>;
  readonly #used: Set<string>;

  /** @param outer Values for a declaration without a value. @param used Receives the names of given arguments that were declared. */
  constructor(given: ReadonlyMap<string, string>, outer: ReadonlyMap<string, string>, used: Set<string>) {
    this.#given = given;
    this.#outer = outer;
    this.#used = used;
  }

  declare(instruction: ArgInstruction, environment: Environment, escape: Escape): void {
    for (const { name, value } of instruction.arguments) {
      this.#used.add(name);
      const given = this.#given.get(name);
      const own = value === undefined ? undefined : expandWord(value, { environment: this.with(environment), escape });
      const found = given ?? own ?? this.#outer.get(name);
      if (found === undefined) this.values.delete(name);
      else this.values.set(name, found);
    }
  }

  /** ENV has priority. */
  with(environment: Environment): Environment {
    return new Map([...this.values, ...environment]);
  }

  /** "NAME=value" of those that ENV does not set: what the history shows. */
  visible(environment: Environment): string[] {
    return [...this.values]
      .filter(([name]) => !environment.has(name) && !isProxy(name))
      .map(([name, value]) => `${name}=${value}`);
  }

  /** For RUN alone. */
  proxies(environment: Environment): string[] {
    const all = new Map([...this.#given, ...this.values]);
    return [...all]
      .filter(([name]) => isProxy(name) && !environment.has(name))
      .map(([name, value]) => `${name}=${value}`);
  }
}
