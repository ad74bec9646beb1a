/** The context that a client sent, unpacked into a private directory. The archive may be hostile: nothing of it is written outside. */
import { mkdirSync } from "node:fs";
import { createDecompressor } from "@fathom/archive";
import { EngineError, within } from "@fathom/base";
import { ignoreMatcher } from "@fathom/spec";
import { TarTreeWriter } from "@fathom/store";
import { isSysError, O_CLOEXEC, O_DIRECTORY, O_RDONLY, WriteRefusal, type Sys } from "@fathom/sys";
import type { ReadParts } from "../files/copied-entries.ts";
import { readSource } from "../files/copied-entries.ts";
import { placeInRoot } from "../files/place.ts";
import type { SourceTree } from "../files/source-tree.ts";

/** A client that sends nothing for so long has failed. */
const silenceMs = 300_000;
const mostDockerfileBytes = 4 << 20;
/** Compressed data can become a thousand times as large, and that much is in memory at a time. */
const inputPartBytes = 32 << 10;

export interface BuildContext extends SourceTree {
  readonly dockerfile: string;
}

/** @param directory Is made, and must not exist. @throws EngineError */
export async function openContext(
  parts: ReadParts,
  directory: string,
  request: { readonly context: AsyncIterable<Uint8Array>; readonly dockerfile: string },
): Promise<BuildContext> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await unpack(parts, directory, request.context);
  const tree = openTree(parts.sys, directory, "context");
  try {
    const dockerfile = await textOf(parts, tree, request.dockerfile);
    if (dockerfile === undefined)
      throw new EngineError(
        "invalid-argument",
        `failed to read dockerfile: open ${request.dockerfile}: no such file or directory`,
      );
    if (dockerfile === "")
      throw new EngineError("invalid-argument", `the Dockerfile (${request.dockerfile}) cannot be empty`);
    await dropIgnored(parts, tree, directory, request.dockerfile);
    return { ...tree, dockerfile };
  } catch (error) {
    tree[Symbol.dispose]();
    throw error;
  }
}

export function openTree(sys: Sys, directory: string, kind: SourceTree["kind"]): SourceTree {
  const rootFd = sys.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return { rootFd, kind, [Symbol.dispose]: () => sys.close(rootFd) };
}

async function unpack({ files, signal }: ReadParts, directory: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
  using writing = files.writeTree({
    root: directory,
    path: ".",
    keepKinds: false,
    what: "the context of the build",
    key: "build",
    signal,
  });
  await writing.place();
  const tree = new TarTreeWriter(writing, { uid: 0, gid: 0 });
  const decompressor = createDecompressor("auto", (chunk) => tree.write(chunk));
  const iterator = tar[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await within(iterator.next(), silenceMs, () => silent(signal), { signal });
      if (done === true) break;
      for (let at = 0; at < value.length; at += inputPartBytes) {
        const wait = decompressor.write(value.subarray(at, at + inputPartBytes));
        if (wait !== undefined) await wait;
        await writing.send();
      }
    }
    await decompressor.finish();
    await tree.finish();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof WriteRefusal || isSysError(error))
      throw new EngineError("invalid-argument", `the context cannot be unpacked: ${error.message}`, { cause: error });
    throw error;
  } finally {
    decompressor.abort();
    void iterator.return?.().catch(() => undefined);
  }
}

function silent(signal: AbortSignal): never {
  signal.throwIfAborted();
  throw new EngineError("timeout", `the client sent nothing of the context for ${silenceMs / 1000} s`);
}

/** undefined when there is no such file. Symlinks are followed inside the context. */
async function textOf(parts: ReadParts, tree: SourceTree, path: string): Promise<string | undefined> {
  const { existing, rest } = placeInRoot(parts.sys, tree.rootFd, path);
  if (rest.length > 0) return undefined;
  using reading = readSource(parts, tree, { path: existing, name: path, directory: false });
  const entry = await reading.next();
  if (entry === undefined) return undefined;
  if (entry.size > BigInt(mostDockerfileBytes))
    throw new EngineError("invalid-argument", `${path} is larger than ${mostDockerfileBytes} bytes`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of reading.content()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Clients leave out what `.dockerignore` excludes, but they always send these two files, because the builder needs them. When they are excluded, COPY
 * does not see them.
 */
async function dropIgnored(parts: ReadParts, tree: SourceTree, directory: string, dockerfile: string): Promise<void> {
  const patterns = await textOf(parts, tree, ".dockerignore");
  if (patterns === undefined) return;
  const ignored = ignoreMatcher(patterns);
  for (const path of new Set([".dockerignore", dockerfile])) {
    const { existing, rest } = placeInRoot(parts.sys, tree.rootFd, path);
    if (rest.length === 0 && existing !== "" && ignored(path)) await parts.files.remove(`${directory}/${existing}`);
  }
}
