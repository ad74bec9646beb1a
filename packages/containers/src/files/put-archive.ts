/**
 * An archive is unpacked into a container (`docker cp` into it). The archive, and a container that runs meanwhile, may be hostile: the process
 * that writes resolves each path beneath the destination (`HostFiles.writeTree`).
 *
 * A container that does not run must not start meanwhile: two mounts of one writable layer would not see each other's files. So its lock is
 * held, and a client that sends nothing for a while, or a forced removal, ends the writing. Into a container that runs, archives are written
 * without its lock, and its next start ends them.
 */
import { createDecompressor } from "@fathom/archive";
import { EngineError, within } from "@fathom/base";
import { isSysError, WriteRefusal, type TreePlace, type TreeWriting } from "@fathom/sys";
import type { Container } from "../container.ts";
import { locked, publish, type ContainersContext } from "../context.ts";
import { ContainerProblem } from "../problem.ts";
import { cleanPath } from "./archive.ts";
import type { ArchiveWriter } from "./archive-writers.ts";
import { openRootToWrite, type WritableRoot } from "./container-root.ts";
import { holdLayers } from "./layer-hold.ts";
import { TarTreeWriter, type Owner } from "@fathom/store";

export interface PutArchiveRequest {
  /** Of an existing directory in the container. */
  readonly path: string;
  /** Maybe compressed. */
  readonly tar: AsyncIterable<Uint8Array>;
  /** It is an error when a directory would replace something else, or the other way round. */
  readonly keepKinds: boolean;
  /** Everything belongs to the user of the container's first process, and not to the owners that the archive names. */
  readonly ownedByUser: boolean;
  /** Nobody may write to the container's root; mounts in it have settings of their own. */
  readonly rootReadOnly: boolean;
}

/** Compressed data can become a thousand times as large, and that much is in memory at a time. */
const inputPartBytes = 32 << 10;
/** How long the lock is held for a client that sends nothing. */
const silenceMs = 60_000;

/** What was written before an error stays. */
export async function putArchive(
  engine: ContainersContext,
  nameOrId: string,
  request: PutArchiveRequest,
  signal: AbortSignal,
): Promise<void> {
  const container = engine.containers.find(nameOrId);
  const absolute = cleanPath(request.path);
  const put = (patienceMs: number | undefined, ended: AbortSignal): Promise<void> =>
    write({ engine, container, nameOrId, absolute, request, patienceMs }, ended);
  const ended = AbortSignal.any([signal, engine.shuttingDown]);
  const writer: ArchiveWriter = { abort: new AbortController() };
  const over = AbortSignal.any([ended, writer.abort.signal]);
  container.writers.add(writer);
  try {
    if (container.process !== undefined) await (writer.unlocked = put(undefined, over));
    else await locked(engine, container, () => put(silenceMs, over));
  } finally {
    container.writers.delete(writer);
  }
}

interface Put {
  readonly engine: ContainersContext;
  readonly container: Container;
  readonly nameOrId: string;
  readonly absolute: string;
  readonly request: PutArchiveRequest;
  readonly patienceMs: number | undefined;
}

async function write(put: Put, signal: AbortSignal): Promise<void> {
  const { engine, container, absolute, request } = put;
  using _ = holdLayers(container);
  using root = openRootToWrite(engine, container, absolute);
  const { base, path } = root;
  using writing = engine.files.writeTree({
    root: root.root,
    ...(base === undefined ? {} : { base }),
    path,
    keepKinds: request.keepKinds,
    what: `${absolute} in container ${container.record.name}`,
    key: container.id,
    signal,
  });
  try {
    checkPlace(put, root, await placeOf(writing, put));
    const owner = request.ownedByUser ? await userOf(engine, container, root) : undefined;
    const tree = new TarTreeWriter(writing, owner);
    const decompressor = createDecompressor("auto", (chunk) => tree.write(chunk));
    try {
      for await (const part of patient(request.tar, put.patienceMs, signal)) {
        const wait = decompressor.write(part);
        if (wait !== undefined) await wait;
        await writing.send();
      }
      await decompressor.finish();
      await tree.finish();
    } finally {
      decompressor.abort();
    }
  } catch (error) {
    // After a broken archive: the entries before its fault are written, as in Docker.
    await writing.finish().catch(() => undefined);
    throw asProblem(put, error);
  }
  publish(engine, container, "extract-to-dir");
}

/** @throws ContainerProblem */
function checkPlace({ absolute, request }: Put, { mount, running }: WritableRoot, place: TreePlace): void {
  if (!place.directory) throw new ContainerProblem({ kind: "not-a-directory", path: absolute });
  // Of a running container the kernel knows, also behind symlinks. The layer of another container can always be written.
  const readOnly = mount !== undefined ? !mount.readWrite : running ? place.readOnly : request.rootReadOnly;
  if (!readOnly) return;
  const where = mount !== undefined || (running && !place.onRootMount) ? "mount" : "root";
  throw new ContainerProblem({ kind: "read-only", path: absolute, where });
}

async function userOf(engine: ContainersContext, container: Container, root: WritableRoot): Promise<Owner> {
  const { record } = container;
  if (container.process !== undefined && root.running)
    return engine.oci.containerUser({ record, root: { pid: container.process.supervisor.pid } });
  const layer = engine.store.snapshots.get(container.id);
  if (layer === undefined) throw new EngineError("not-found", `the layer of container ${container.id} is missing`);
  const rootFd = engine.sys.openOverlay(layer.mount);
  try {
    return await engine.oci.containerUser({ record, root: { rootFd } });
  } finally {
    engine.sys.close(rootFd);
  }
}

/** @throws ContainerProblem when the destination does not exist */
async function placeOf(writing: TreeWriting, { request, nameOrId }: Put): Promise<TreePlace> {
  try {
    return await writing.place();
  } catch (error) {
    if (isSysError(error, "ENOTDIR"))
      throw new ContainerProblem({ kind: "path-below-file", path: request.path }, { cause: error });
    if (!isSysError(error, "ENOENT")) throw error;
    throw new ContainerProblem({ kind: "no-such-path", path: request.path, container: nameOrId }, { cause: error });
  }
}

function asProblem({ absolute }: Put, error: unknown): unknown {
  if (!(error instanceof WriteRefusal)) return error;
  const { reason, path } = error;
  return new ContainerProblem({ kind: "not-written", reason, path, destination: absolute }, { cause: error });
}

/** In parts that are not too large. @throws timeout when the source is silent for `ms`; the signal's reason */
async function* patient(
  source: AsyncIterable<Uint8Array>,
  ms: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await within(iterator.next(), ms, () => stalled(signal), { signal });
      if (done === true) return;
      for (let at = 0; at < value.length; at += inputPartBytes) yield value.subarray(at, at + inputPartBytes);
    }
  } finally {
    // The source may not answer: nobody waits for its end.
    void iterator.return?.().catch(() => undefined);
  }
}

/** @throws always */
function stalled(signal: AbortSignal): never {
  if (signal.aborted) throw signal.reason;
  throw new EngineError(
    "timeout",
    `the client sent nothing of the archive for ${silenceMs / 1000} s; meanwhile the container could not be started`,
  );
}
