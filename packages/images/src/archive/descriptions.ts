/** What an archive says about its images: JSON files of limited size. */
import { readFileSync, statSync } from "node:fs";
import { EngineError } from "@fathom/base";
import { sha256Digest, type Digest } from "@fathom/spec";
import { fileOf, type Files } from "./spool.ts";

const smallFileLimit = 8 * 1024 * 1024;
/** For all descriptions of an archive together. */
const descriptionsLimit = 32 * 1024 * 1024;
/** Images, and descriptions that lead to images. */
const maxImages = 4_000;

/** The archive's descriptions (lists, indexes, manifests, configs). Each is read once, and an archive may only have a limited number of them. */
export class Descriptions {
  readonly #files: Files;
  readonly #read = new Map<string, { readonly raw: Uint8Array; readonly digest: Digest }>();
  #bytes = 0;
  #images = 0;

  constructor(files: Files) {
    this.#files = files;
  }

  /** @throws invalid-argument for one that is missing or too large, alone or together with earlier ones */
  read(name: string): { readonly raw: Uint8Array; readonly digest: Digest } {
    const path = fileOf(this.#files, name);
    const known = this.#read.get(path);
    if (known !== undefined) return known;
    const { size } = statSync(path);
    if (size > smallFileLimit)
      throw new EngineError("invalid-argument", `a description in the archive is larger than ${smallFileLimit} bytes`);
    this.#bytes += size;
    if (this.#bytes > descriptionsLimit)
      throw new EngineError(
        "invalid-argument",
        `the descriptions in the archive are larger than ${descriptionsLimit} bytes: load its images in several archives`,
      );
    const raw = readFileSync(path);
    const description = { raw, digest: sha256Digest(raw) };
    this.#read.set(path, description);
    return description;
  }

  /** Counts one more image. Other work has its turn before it. */
  async image(): Promise<void> {
    if (++this.#images > maxImages)
      throw new EngineError(
        "invalid-argument",
        `the archive has more than ${maxImages} images: load them in several archives`,
      );
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    throw new EngineError("invalid-argument", "a description in the archive is not JSON", { cause: error });
  }
}
