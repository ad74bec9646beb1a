/** A platform in the form of newer endpoints: JSON in a query. */
import { EngineError } from "@fathom/base";
import { decodeBody } from "../../decode/decoder.ts";
import { optional, string, struct } from "../../decode/go.ts";
import { parseJsonValue } from "./json-text.ts";
import type { Platform } from "../../oci/image.ts";

const platform = struct<Platform>("v1.Platform", {
  os: string,
  architecture: string,
  variant: optional(string),
  "os.version": optional(string),
  "os.features": { zero: undefined, decode: () => undefined },
});

const prefix = "failed to parse platform";

/** @throws invalid-argument in Docker's words */
export function decodePlatform(text: string): Platform {
  const document = parseJsonValue(text, prefix);
  const { os, architecture, variant, "os.version": osVersion } = decodeBody(platform, document, prefix);
  if (os === "" && architecture === "" && (variant || osVersion))
    throw new EngineError("invalid-argument", "optional platform fields provided, but OS and Architecture are missing");
  if (os === "" || architecture === "")
    throw new EngineError("invalid-argument", "both OS and Architecture must be provided");
  return {
    os,
    architecture,
    ...(variant === undefined || variant === "" ? {} : { variant }),
    ...(osVersion === undefined || osVersion === "" ? {} : { "os.version": osVersion }),
  };
}
