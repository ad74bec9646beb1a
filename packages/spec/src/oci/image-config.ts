/** Parsing of image configs (OCI image-spec config.md). Docker's config has the same fields and some more; those stay in the raw bytes. */
import { EngineError, sortedKeys } from "@fathom/base";
import { boolean, decodeDocument, isObject, optional, type Decoder } from "../decode/decoder.ts";
import { anything, exact, list, oneOf, orElse, record, text, turned, wholeNumber } from "../decode/exact.ts";
import { parseJson } from "../decode/json.ts";
import { decodedDiffId } from "../digest.ts";
import { maxLayers } from "./manifest.ts";
import type { ImageConfig } from "./image.ts";

/** Largest size of an image config. */
export const maxConfigBytes = 8 * 1024 * 1024;

type RunConfig = NonNullable<ImageConfig["config"]>;
type History = NonNullable<ImageConfig["history"]>[number];

const texts = list(text, 10_000);

/** Go's map[string]struct{}: only its keys matter. */
const keys: Decoder<Readonly<Record<string, object>>> = turned(record(anything), (value) =>
  sortedKeys(Object.fromEntries(Object.keys(value).map((key) => [key, {}]))),
);

const healthcheck = exact<NonNullable<RunConfig["Healthcheck"]>>({
  Test: optional(texts),
  Interval: optional(wholeNumber),
  Timeout: optional(wholeNumber),
  StartPeriod: optional(wholeNumber),
  StartInterval: optional(wholeNumber),
  Retries: optional(wholeNumber),
});

/** The part that containers use. */
const runConfig = exact<RunConfig>({
  User: optional(text),
  ExposedPorts: optional(keys),
  Env: optional(texts),
  Entrypoint: optional(texts),
  Cmd: optional(texts),
  Volumes: optional(keys),
  WorkingDir: optional(text),
  Labels: optional(turned(record(text), sortedKeys)),
  StopSignal: optional(text),
  ArgsEscaped: optional(boolean),
  Healthcheck: optional(healthcheck),
  OnBuild: optional(texts),
  Shell: optional(texts),
});

const history = exact<History>({
  created: optional(text),
  author: optional(text),
  created_by: optional(text),
  comment: optional(text),
  empty_layer: optional(boolean),
});

const imageConfig = exact<ImageConfig>({
  created: optional(text),
  author: optional(text),
  architecture: orElse(text, ""),
  os: orElse(text, ""),
  variant: optional(text),
  config: optional(runConfig),
  rootfs: exact<ImageConfig["rootfs"]>({
    type: orElse(oneOf(["layers"]), "layers", "absent"),
    diff_ids: orElse(list(decodedDiffId, maxLayers), []),
  }),
  history: optional(list(history, 10_000)),
});

/** @throws invalid-argument naming the field */
export function parseImageConfig(raw: Uint8Array): ImageConfig {
  const document = parseJson(raw, "image config", maxConfigBytes);
  if (isObject(document) && !isObject(document["rootfs"]))
    throw new EngineError("invalid-argument", "image config has no rootfs: it is no config of a container image");
  return decodeDocument(imageConfig, document, "image config");
}
