/** One description on disk: `containers/<id>/container.json` (descriptions.ts). */
import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import type { DescribedLayer, DescribeLayers } from "@fathom/store";
import type { ContainersConfig } from "../contract.ts";
import { containerPaths } from "../paths.ts";
import { isErrno } from "@fathom/base";

type Roots = Pick<ContainersConfig, "dataRoot">;

export interface Description {
  readonly version: 1;
  /** As `RecordForm.stored` returns it. */
  readonly record: object;
  /** The layers of its image, the uppermost first. */
  readonly layers: readonly DescribedLayer[];
}

/** A description after reading; `RecordForm.read` reads its record. */
interface WrittenDescription extends Description {
  readonly record: Readonly<Record<string, unknown>>;
}

/** undefined when the file does not exist or was cut short. */
export function readDescription(config: Roots, id: string): WrittenDescription | undefined {
  try {
    // Only `ContainerDescriptions` writes it, in a directory of root.
    const parsed = JSON.parse(readFileSync(containerPaths(config, id).description, "utf8")) as WrittenDescription;
    return parsed.version === 1 && parsed.record["id"] === id ? parsed : undefined;
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
