/**
 * What instructions change in an image's configuration: those of a Dockerfile that need no file system, and those of `commit --change`. A file may
 * contain very many instructions; the cost of each depends on its own length, not on the instructions before it.
 */
import { posix } from "node:path";
import type { ImageConfig } from "@fathom/spec";
import { wrong } from "../dockerfile/dockerfile-error.ts";
import type { CommandForm, InstructionBody, Pair } from "../dockerfile/instructions.ts";
import { parseExposed } from "../dockerfile/ports.ts";
import { expandWord, expandWords, type Environment, type Escape } from "../dockerfile/words.ts";
import { EnvironmentList } from "./environment-list.ts";

export type RunConfig = NonNullable<ImageConfig["config"]>;
type Mutable = { -readonly [K in keyof RunConfig]: RunConfig[K] };

/** The number of all possible ports: from 1 to 65535 for each protocol. */
const mostPorts = 3 * 65_535;

export interface ConfigRules {
  /** @throws for a signal that does not exist */
  readonly checkSignal: (name: string) => void;
  readonly escape?: Escape;
}

/** The kinds that only change the configuration. */
const metadataKinds = [
  "cmd",
  "entrypoint",
  "env",
  "label",
  "expose",
  "volume",
  "user",
  "workdir",
  "stopsignal",
  "shell",
  "onbuild",
  "healthcheck",
] as const;

export type MetadataInstruction = Extract<InstructionBody, { readonly kind: (typeof metadataKinds)[number] }>;

export function isMetadata(instruction: InstructionBody): instruction is MetadataInstruction {
  return metadataKinds.some((kind) => kind === instruction.kind);
}

export class ConfigEditor {
  readonly #rules: ConfigRules;
  readonly #config: Mutable;
  readonly #environment: EnvironmentList;
  readonly #labels: Map<string, string>;
  readonly #ports: Map<string, object>;
  readonly #volumes: Map<string, object>;
  readonly #triggers: string[];
  readonly #changed = new Set<InstructionBody["kind"]>();
  /** How many ports were named, with repetitions. */
  #portCount = 0;
  /** A CMD came before, so an ENTRYPOINT after it keeps the command. */
  #cmdGiven = false;

  constructor(config: RunConfig, rules: ConfigRules) {
    this.#rules = rules;
    this.#config = { ...config };
    this.#environment = new EnvironmentList(config.Env ?? []);
    this.#labels = new Map(Object.entries(config.Labels ?? {}));
    this.#ports = new Map(Object.entries(config.ExposedPorts ?? {}));
    this.#volumes = new Map(Object.entries(config.Volumes ?? {}));
    this.#triggers = [...(config.OnBuild ?? [])];
  }

  /** Variables that ENV set. */
  get environment(): Environment {
    return this.#environment.values;
  }

  get workingDirectory(): string {
    return this.#config.WorkingDir || "/";
  }

  get user(): string {
    return this.#config.User ?? "";
  }

  get shell(): readonly string[] {
    return this.#config.Shell ?? ["/bin/sh", "-c"];
  }

  /** The words of a command: those of the JSON form, or the shell with the line. */
  commandWords(command: CommandForm): readonly string[] {
    return command.form === "exec" ? command.words : [...this.shell, ...(command.line === "" ? [] : [command.line])];
  }

  /** A variable with a value that needs no expansion. */
  setVariable(name: string, value: string): void {
    this.#changed.add("env");
    this.#environment.set(name, value);
  }

  setLabels(labels: Readonly<Record<string, string>>): void {
    this.#changed.add("label");
    for (const [name, value] of Object.entries(labels)) this.#labels.set(name, value);
  }

  /** The triggers of the base image, which run once. */
  takeTriggers(): readonly string[] {
    this.#changed.add("onbuild");
    return this.#triggers.splice(0);
  }

  config(): RunConfig {
    const changed = (kind: InstructionBody["kind"]): boolean => this.#changed.has(kind);
    return {
      ...this.#config,
      ...(changed("env") ? { Env: [...this.#environment.entries] } : {}),
      ...(changed("label") ? { Labels: Object.fromEntries(this.#labels) } : {}),
      ...(changed("expose") ? { ExposedPorts: Object.fromEntries(this.#ports) } : {}),
      ...(changed("onbuild") ? { OnBuild: [...this.#triggers] } : {}),
      ...(changed("volume") ? { Volumes: Object.fromEntries(this.#volumes) } : {}),
    };
  }

  /**
   * @param variables For the expansion; those of ENV when absent.
   * @throws DockerfileError
   */
  apply(instruction: MetadataInstruction, variables: Environment = this.#environment.values): void {
    const config = this.#config;
    const expansion = { environment: variables, escape: this.#rules.escape ?? "\\" };
    const expand = (text: string): string => expandWord(text, expansion);
    const both = ([name, value]: Pair): Pair => [expand(name), expand(value)];
    this.#changed.add(instruction.kind);
    switch (instruction.kind) {
      case "cmd": {
        const { command } = instruction;
        const words = command === undefined ? [] : this.commandWords(command);
        config.Cmd = words;
        this.#cmdGiven = command?.form === "shell" ? command.line !== "" : words.length > 0;
        return;
      }
      case "entrypoint": {
        const words = instruction.command === undefined ? [] : this.commandWords(instruction.command);
        if (words.length > 0) config.Entrypoint = words;
        else delete config.Entrypoint;
        // The command belonged to the earlier entrypoint.
        if (!this.#cmdGiven) delete config.Cmd;
        return;
      }
      // All values are from before the instruction.
      case "env":
        for (const [name, value] of instruction.pairs.map(both)) this.#environment.set(name, value);
        return;
      case "label":
        for (const [name, value] of instruction.pairs.map(both)) this.#labels.set(name, value);
        return;
      case "expose":
        for (const word of instruction.ports) for (const spec of expandWords(word, expansion)) this.#expose(spec);
        return;
      case "volume": {
        const paths = instruction.paths.map(expand);
        if (paths.includes("")) throw wrong("VOLUME specified can not be an empty string");
        for (const path of paths) this.#volumes.set(path, {});
        return;
      }
      case "user":
        config.User = expand(instruction.value);
        return;
      case "workdir":
        config.WorkingDir = posix.resolve("/", config.WorkingDir ?? "", expand(instruction.value));
        return;
      case "stopsignal": {
        const signal = expand(instruction.value);
        this.#rules.checkSignal(signal);
        config.StopSignal = signal;
        return;
      }
      case "shell":
        config.Shell = instruction.words;
        return;
      case "onbuild":
        this.#triggers.push(instruction.trigger);
        return;
      case "healthcheck":
        config.Healthcheck = instruction.check;
    }
  }

  #expose(spec: string): void {
    const { protocol, first, last } = parseExposed(spec);
    this.#portCount += last - first + 1;
    if (this.#portCount > mostPorts) throw wrong(`EXPOSE names more than ${mostPorts} ports`);
    for (let port = first; port <= last; port++) this.#ports.set(`${port}/${protocol}`, {});
  }
}
