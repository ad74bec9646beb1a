/** Local archives that ADD unpacks: plain, gzip and zstd; xz and bzip2 by the machine's programs, as in Docker. */
import { createDecompressor, detectCompression, TarReader, type Compression } from "@fathom/archive";
import { EngineError } from "@fathom/base";
import { TarTreeWriter, type Owner } from "@fathom/store";
import type { TreeWriting } from "@fathom/sys";

type Push = (chunk: Uint8Array) => void | Promise<void>;

/** Unpacks an archive that may be hostile; then everything is written. */
export async function writeArchive(
  writing: TreeWriting,
  content: AsyncIterable<Uint8Array>,
  owner: Owner | undefined,
  signal: AbortSignal,
): Promise<void> {
  const tree = new TarTreeWriter(writing, owner);
  await decompressed(
    content,
    signal,
    (chunk) => tree.write(chunk),
    () => writing.send(),
  );
  await tree.finish();
}

/** Whether a file is an archive that ADD unpacks: it has a first entry. */
export async function isArchive(content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<boolean> {
  let found = false;
  const reader = new TarReader({ entry: () => void (found = true), data: () => undefined, end: () => undefined });
  const push = (chunk: Uint8Array): void => {
    if (!found) reader.push(chunk);
  };
  try {
    await decompressed(content, signal, push, async () => {
      if (found) throw new Error("enough");
    });
  } catch {
    // Enough was read, or it is another kind of file.
    signal.throwIfAborted();
  }
  return found;
}

/** @param after Called after each part. */
async function decompressed(
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  push: (chunk: Uint8Array) => void,
  after: () => Promise<void>,
): Promise<void> {
  let kind: Compression | undefined;
  let program: ProgramFilter | undefined;
  const decompressor = createDecompressor("auto", push);
  try {
    for await (const part of content) {
      if (kind === undefined) {
        kind = detectCompression(part);
        if (kind === "xz" || kind === "bzip2") program = new ProgramFilter(kind, push, signal);
      }
      const write: Push = (chunk) => (program === undefined ? decompressor.write(chunk) : program.write(chunk));
      const wait = write(part);
      if (wait !== undefined) await wait;
      await after();
    }
    if (program === undefined) await decompressor.finish();
    else await program.finish();
    await after();
  } finally {
    decompressor.abort();
    program?.abort();
  }
}

class ProgramFilter {
  readonly #name: string;
  readonly #process: Bun.Subprocess<"pipe", "pipe", "ignore">;
  readonly #output: Promise<void>;

  /** @throws EngineError when the machine has no such program */
  constructor(name: "xz" | "bzip2", push: (chunk: Uint8Array) => void, signal: AbortSignal) {
    const path = Bun.which(name);
    if (path === null)
      throw new EngineError(
        "not-implemented",
        `the program ${name} is missing on this machine: decompress the archive first`,
      );
    this.#name = name;
    this.#process = Bun.spawn([path, "-dc"], { stdin: "pipe", stdout: "pipe", stderr: "ignore", signal });
    this.#output = this.#read(push);
    this.#output.catch(() => undefined);
  }

  async #read(push: (chunk: Uint8Array) => void): Promise<void> {
    for await (const chunk of this.#process.stdout) push(chunk);
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#process.stdin.write(chunk);
    await Promise.race([this.#process.stdin.flush(), this.#process.exited]);
  }

  async finish(): Promise<void> {
    await this.#process.stdin.end();
    await this.#output;
    if ((await this.#process.exited) !== 0)
      throw new EngineError("invalid-argument", `the archive cannot be decompressed by ${this.#name}`);
  }

  abort(): void {
    this.#process.kill("SIGKILL");
  }
}
