/** One description on disk: `containers/<id>/container.json` (descriptions.ts). */
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { EngineError } from "@fathom/base";
import {
  decodedChainId,
  decodedDiffId,
  decodeDocument,
  exact,
  isObject,
  list,
  optional,
  wholeNumber,
  type JsonObject,
} from "@fathom/spec";
import type { DescribedLayer, DescribeLayers } from "@fathom/store";
import type { ContainersConfig } from "../contract.ts";
import { containerPaths } from "../paths.ts";
import { isErrno } from "@fathom/base";

type Roots = Pick<ContainersConfig, "dataRoot">;

const knownVersion = 1;

export interface Description {
  /**
   * A change of the form needs a higher number. Older programs treat a container with an unreadable description as a leftover, except when the
   * number is higher than the one they know.
   */
  readonly version: typeof knownVersion;
  /** As `RecordForm.stored` returns it. */
  readonly record: object;
  /** The layers of its image, the uppermost first. */
  readonly layers: readonly DescribedLayer[];
}

/** A description after reading; `RecordForm.read` reads its record. */
interface WrittenDescription extends Description {
  readonly record: JsonObject;
}

const layers = list(
  exact<DescribedLayer>({ chainId: decodedChainId, diffId: optional(decodedDiffId), size: wholeNumber }),
);

/**
 * Returns undefined when the file does not exist, was cut short, or does not describe the container.
 * @throws conflict for a description of a newer version: otherwise the layers of the container would be removed as leftovers
 */
export function readDescription(config: Roots, id: string): WrittenDescription | undefined {
  const path = containerPaths(config, id).description;
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
  if (!isObject(parsed)) return undefined;
  const { version, record } = parsed;
  if (typeof version === "number" && version > knownVersion)
    throw new EngineError(
      "conflict",
      `the description ${path} has version ${version}, this program knows ${knownVersion}: it was written by a newer fathom`,
    );
  if (version !== knownVersion || !isObject(record) || record["id"] !== id) return undefined;
  try {
    return { version, record, layers: decodeDocument(layers, parsed["layers"], path) };
  } catch {
    return undefined;
  }
}

/** For `openStore`. */
export function describeLayers(config: Roots): DescribeLayers {
  return (id) => (/^[0-9a-f]{64}$/.test(id) ? readDescription(config, id)?.layers : undefined);
}

export function isNotThere(error: unknown): boolean {
  return isErrno(error, "ENOENT");
}

/** The file and its name. The name of its folder is made durable once for all descriptions that are written together. */
export async function makeDurable(path: string): Promise<void> {
  await syncPath(path);
  await syncPath(dirname(path));
}

export async function syncPath(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}
