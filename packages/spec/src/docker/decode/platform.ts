/** A platform in the form of newer endpoints: JSON in a query. */
import { EngineError } from "@fathom/base";
import { decodeBody } from "../../decode/decoder.ts";
import { optional, string, struct } from "../../decode/go.ts";
import type { Platform } from "../../oci/image.ts";

const platform = struct<Platform>("v1.Platform", {
  os: string,
  architecture: string,
  variant: optional(string),
  "os.version": optional(string),
  "os.features": { zero: undefined, decode: () => undefined },
});

/** @throws invalid-argument */
export function decodePlatform(text: string): Platform {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new EngineError("invalid-argument", `failed to parse platform: ${JSON.stringify(text)} is no JSON`, {
      cause,
    });
  }
  const { os, architecture, variant, "os.version": osVersion } = decodeBody(platform, value);
  if (os === "" || architecture === "")
    throw new EngineError("invalid-argument", "both OS and Architecture must be provided");
  return {
    os,
    architecture,
    ...(variant === undefined || variant === "" ? {} : { variant }),
    ...(osVersion === undefined || osVersion === "" ? {} : { "os.version": osVersion }),
  };
}
