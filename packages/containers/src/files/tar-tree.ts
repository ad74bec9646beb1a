/** A file or a tree of a container as a tar stream. A file that changes while it is read can only spoil its own content. */
import { TarWriter, TreeWriter, treeEntry, withSlash, type TarEntryInput } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { belongsToFile } from "@fathom/store";
import type { ReadEntry, TreeReading } from "@fathom/sys";

const maxDepth = 1000;
/** Bytes that are collected before they are passed on. */
const batchBytes = 128 * 1024;
const slash = 0x2f;

/**
 * `top` is the first entry, if the caller has already taken it from the reading. `name` is that entry's name in the archive; with "" the entry
 * is left out, and the other names start from there. Of another mount only the mount point is archived, as an empty directory.
 */
export async function* tarTree(
  reading: TreeReading,
  top: ReadEntry | undefined,
  name: string,
): AsyncGenerator<Uint8Array> {
  const writer = new Archiver(reading, Buffer.from(name, "utf8"));
  for (let entry = top ?? (await reading.next()); entry !== undefined; entry = await reading.next())
    yield* writer.entry(entry);
  yield* writer.finish();
}

class Archiver {
  readonly #reading: TreeReading;
  readonly #name: Buffer;
  readonly #tar: TarWriter;
  readonly #files: TreeWriter;
  #chunks: Uint8Array[] = [];
  #size = 0;

  constructor(reading: TreeReading, name: Buffer) {
    this.#reading = reading;
    this.#name = name;
    this.#tar = new TarWriter((chunk) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
    });
    this.#files = new TreeWriter(this.#tar);
  }

  async *entry(entry: ReadEntry): AsyncGenerator<Uint8Array> {
    const path = this.#pathOf(entry);
    const input = path.length === 0 ? undefined : treeEntry(path, entry, entry.xattrs.filter(belongsToFile));
    if (input === undefined || (entry.foreign && input.kind !== "directory")) return;
    if (input.kind === "directory") this.#directory(entry, input);
    else if (this.#files.write(input, entry, entry.identity, () => entry.target)) yield* this.#content();
    if (this.#size >= batchBytes) yield* this.#flush();
  }

  #pathOf({ path }: ReadEntry): Uint8Array {
    if (path.length === 0) return this.#name;
    return this.#name.length === 0 ? path : Buffer.concat([withSlash(this.#name), path]);
  }

  #directory({ path }: ReadEntry, input: TarEntryInput): void {
    if (path.filter((byte) => byte === slash).length >= maxDepth)
      throw new EngineError("resource-exhausted", `directories are nested deeper than ${maxDepth}`);
    this.#tar.entry(input);
  }

  /** If a file becomes shorter meanwhile, zeros fill the rest, because the header is already sent. */
  async *#content(): AsyncGenerator<Uint8Array> {
    for await (const data of this.#reading.content()) {
      this.#tar.data(data);
      if (this.#size >= batchBytes) yield* this.#flush();
    }
    while (this.#files.fill()) if (this.#size >= batchBytes) yield* this.#flush();
  }

  async *#flush(): AsyncGenerator<Uint8Array> {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#size = 0;
    if (chunks.length > 0) yield chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }

  async *finish(): AsyncGenerator<Uint8Array> {
    this.#tar.finish();
    yield* this.#flush();
  }
}
