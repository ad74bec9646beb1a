/** What a log record says about its container: chosen labels and variables, and the tag. */
import { hostname } from "node:os";
import { EngineError, shortId } from "@fathom/base";
import type { ContainerRecord } from "@fathom/containers";
import { dockerOf } from "../docker-extension.ts";
import { compilePattern } from "../../filters/patterns.ts";
import type { Options } from "./driver-options.ts";

/**
 * Labels and variables that `labels`, `labels-regex`, `env`, `env-regex` choose.
 * @param named How the receiver writes their names.
 * @throws invalid-argument for a pattern that takes too long on all of them
 */
export function selectAttributes(
  record: ContainerRecord,
  options: Options,
  named: (name: string) => string = (name) => name,
): Record<string, string> {
  const { config } = dockerOf(record);
  const attributes: Record<string, string> = {};
  const environment: Record<string, string> = {};
  for (const entry of config.Env ?? []) {
    const equals = entry.indexOf("=");
    if (equals > 0) environment[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  const choose = (from: Options, names: string | undefined, pattern: string | undefined): void => {
    for (const name of names?.split(",") ?? []) if (Object.hasOwn(from, name)) attributes[named(name)] = from[name]!;
    if (pattern === undefined || pattern === "") return;
    const matches = compilePattern(pattern);
    for (const [name, value] of Object.entries(from)) if (matches(name)) attributes[named(name)] = value;
  };
  choose(config.Labels ?? {}, options["labels"], options["labels-regex"]);
  choose(environment, options["env"], options["env-regex"]);
  return attributes;
}

type Templates = typeof import("@fathom/template");
let templates: Templates | undefined;

/** @throws invalid-argument in the words of Go's templates, with the name "log-tag" */
export function expandTag(template: string, record: ContainerRecord, options: Options): string {
  const fields = tagFields(record, options);
  const [, name] = /^\{\{\.(ID|FullID|Name|Command|ImageID|ImageFullID|ImageName|Hostname)\}\}$/.exec(template) ?? [];
  if (template === "") return "";
  if (name !== undefined) return String(fields[name]);
  // Few containers have another tag.
  const { parseTemplate, TemplateError } = (templates ??= require("@fathom/template") as Templates);
  try {
    return parseTemplate(template, { missingIsError: true, name: "log-tag", structName: "*logger.Info" }).execute(
      fields,
    );
  } catch (error) {
    if (error instanceof TemplateError) throw new EngineError("invalid-argument", error.message, { cause: error });
    throw error;
  }
}

/** The fields of Docker's logger.Info, and its methods without arguments. */
function tagFields(record: ContainerRecord, options: Options): Readonly<Record<string, unknown>> {
  const { config } = dockerOf(record);
  return {
    ID: shortId(record.id),
    FullID: record.id,
    Name: record.name,
    ImageID: record.imageId.slice(0, 12),
    ImageFullID: record.imageId,
    ImageName: config.Image,
    Command: [record.path, ...record.arguments].join(" "),
    Hostname: hostname(),
    Config: options,
    ContainerID: record.id,
    ContainerName: `/${record.name}`,
    ContainerEntrypoint: record.path,
    ContainerArgs: record.arguments,
    ContainerImageID: record.imageId,
    ContainerImageName: config.Image,
    ContainerCreated: record.createdAt,
    ContainerEnv: config.Env ?? [],
    ContainerLabels: config.Labels ?? {},
    DaemonName: "docker",
  };
}
