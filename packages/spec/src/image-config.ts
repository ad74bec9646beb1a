/** Parsing of image configs (OCI image-spec config.md; Docker's has the same fields and a few more, which stay in the raw bytes). */
import { EngineError, sortedKeys } from "@fathom/base";
import { parseDiffId } from "./digest.ts";
import {
  arrayOf,
  fieldsOf,
  integerOf,
  isFields,
  optional,
  parseJson,
  present,
  textArrayOf,
  textMapOf,
  textOf,
  wrong,
} from "./fields.ts";
import { maxLayers } from "./manifest.ts";
import type { ImageConfig } from "./oci-image.ts";

/** An image config may be this long. */
export const maxConfigBytes = 8 * 1024 * 1024;

function setOf(value: unknown, where: string): Readonly<Record<string, object>> {
  return sortedKeys(Object.fromEntries(Object.keys(fieldsOf(value, where)).map((key) => [key, {}])));
}

function flagOf(value: unknown, where: string): boolean {
  if (typeof value !== "boolean") throw wrong(where, "true or false");
  return value;
}

type RunConfig = NonNullable<ImageConfig["config"]>;

function healthcheckOf(value: unknown, where: string): NonNullable<RunConfig["Healthcheck"]> {
  const fields = fieldsOf(value, where);
  const number = (name: string): number | undefined => optional(fields[name], `${where}.${name}`, integerOf);
  return present({
    Test: optional(fields["Test"], `${where}.Test`, textArrayOf),
    Interval: number("Interval"),
    Timeout: number("Timeout"),
    StartPeriod: number("StartPeriod"),
    StartInterval: number("StartInterval"),
    Retries: number("Retries"),
  }) as NonNullable<RunConfig["Healthcheck"]>;
}

/** The part that containers start from. @throws invalid-argument naming the field */
export function parseRunConfig(value: unknown, where: string): RunConfig {
  const fields = fieldsOf(value, where);
  const at = <T>(name: string, read: (value: unknown, where: string) => T): T | undefined =>
    optional(fields[name], `${where}.${name}`, read);
  return present({
    User: at("User", textOf),
    ExposedPorts: at("ExposedPorts", setOf),
    Env: at("Env", textArrayOf),
    Entrypoint: at("Entrypoint", textArrayOf),
    Cmd: at("Cmd", textArrayOf),
    Volumes: at("Volumes", setOf),
    WorkingDir: at("WorkingDir", textOf),
    Labels: at("Labels", (value, where) => sortedKeys(textMapOf(value, where))),
    StopSignal: at("StopSignal", textOf),
    ArgsEscaped: at("ArgsEscaped", flagOf),
    Healthcheck: at("Healthcheck", healthcheckOf),
    OnBuild: at("OnBuild", textArrayOf),
    Shell: at("Shell", textArrayOf),
  }) as RunConfig;
}

function historyOf(value: unknown, where: string): NonNullable<ImageConfig["history"]>[number] {
  const fields = fieldsOf(value, where);
  const text = (name: string): string | undefined => optional(fields[name], `${where}.${name}`, textOf);
  return present({
    created: text("created"),
    author: text("author"),
    created_by: text("created_by"),
    comment: text("comment"),
    empty_layer: optional(fields["empty_layer"], `${where}.empty_layer`, flagOf),
  }) as NonNullable<ImageConfig["history"]>[number];
}

/** @throws invalid-argument naming the field */
export function parseImageConfig(raw: Uint8Array): ImageConfig {
  const fields = fieldsOf(parseJson(raw, "image config", maxConfigBytes), "image config");
  const rootfs = isFields(fields["rootfs"]) ? fields["rootfs"] : undefined;
  if (rootfs === undefined)
    throw new EngineError("invalid-argument", "image config has no rootfs: it is no config of a container image");
  if (rootfs["type"] !== undefined && rootfs["type"] !== "layers") throw wrong("image config rootfs.type", '"layers"');
  const diffIds = (
    optional(rootfs["diff_ids"], "diff_ids", (value) => arrayOf(value, "diff_ids", maxLayers)) ?? []
  ).map((entry, index) => parseDiffId(textOf(entry, `diff_ids[${index}]`)));
  return present({
    created: optional(fields["created"], "created", textOf),
    author: optional(fields["author"], "author", textOf),
    architecture: optional(fields["architecture"], "architecture", textOf) ?? "",
    os: optional(fields["os"], "os", textOf) ?? "",
    variant: optional(fields["variant"], "variant", textOf),
    config: optional(fields["config"], "config", parseRunConfig),
    rootfs: { type: "layers" as const, diff_ids: diffIds },
    history: optional(fields["history"], "history", (value, where) =>
      arrayOf(value, where, 10_000).map((entry, index) => historyOf(entry, `history[${index}]`)),
    ),
  }) as ImageConfig;
}
