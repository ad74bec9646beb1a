/**
 * Layers that are being pulled, by chain id: pulls that need the same layer at the same time share its download and its directory. All layers
 * of an image are filled at the same time; they get their place in the chain one after another, the lowest first.
 */
import { EngineError, Semaphore } from "@fathom/base";
import type { BlobSource } from "@fathom/distribution";
import type { ChainId, Descriptor, Digest, DiffId } from "@fathom/spec";
import type { ContentInfo, Layer, LayerDraft, Lease, Store } from "@fathom/store";
import type { LayerJob, LayerJobReport, LayerJobResult } from "../workers/layer-job.ts";
import { SharedTasks } from "./shared-task.ts";

export interface WantedLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
}

export type LayerEvent =
  | { readonly kind: "waiting" }
  | { readonly kind: "downloading"; readonly current: number }
  | { readonly kind: "downloaded" };

/** A filled layer directory that has no place in a chain yet. */
export interface FilledLayer {
  /** Puts it in its place the first time; afterwards it only adds the other lease. */
  commit(lease: Lease): Promise<Layer>;
  readonly blob: ContentInfo | undefined;
}

export interface LayerPullsOptions {
  readonly store: Store;
  readonly maxParallel: number;
  readonly run: (
    job: LayerJob,
    report: (report: LayerJobReport) => void,
    signal: AbortSignal,
  ) => Promise<LayerJobResult>;
}

interface TaskResult extends FilledLayer {
  release(): void;
}

export class LayerPulls {
  readonly #options: LayerPullsOptions;
  readonly #tasks = new SharedTasks<LayerEvent, TaskResult>((event) => event.kind);
  readonly #semaphore: Semaphore;
  /** Blobs that are being downloaded: a blob for two layers of different chains is downloaded once. */
  readonly #downloads = new Map<Digest, Promise<unknown>>();
  /** Users of each finished task; a layer that was never committed is dropped with the last user. */
  readonly #users = new Map<TaskResult, number>();

  constructor(options: LayerPullsOptions) {
    this.#options = options;
    this.#semaphore = new Semaphore(options.maxParallel);
  }

  /** Transfers that run or wait. */
  get size(): number {
    return this.#tasks.size;
  }

  /**
   * Fills the layer and lends it to `use`, which commits it or not.
   * @throws the errors of the download, of the unpacking and of `use`; aborted.
   */
  async with<T>(
    layer: WantedLayer,
    source: () => BlobSource,
    onEvent: (event: LayerEvent) => void,
    signal: AbortSignal,
    use: (filled: FilledLayer) => Promise<T>,
  ): Promise<T> {
    const task = this.#tasks.get(layer.chainId, ({ signal, emit }) => this.#fill(layer, source, emit, signal));
    // Registered before the result is passed on, so that the last of several users is really the last.
    const joined = task.join(onEvent, signal);
    task.result.then(
      (result) => this.#users.set(result, (this.#users.get(result) ?? 0) + 1),
      () => undefined,
    );
    let result: TaskResult;
    try {
      result = await joined;
    } catch (error) {
      // It may be finished while nobody here takes it.
      task.result.then(
        (result) => this.#leave(result),
        () => undefined,
      );
      throw error;
    }
    try {
      return await use(result);
    } finally {
      this.#leave(result);
    }
  }

  /** Only the compressed blob, for a layer whose directory exists: downloaded if it is missing, and then held under the lease. */
  async blob(layer: WantedLayer, source: () => BlobSource, lease: Lease, signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const { descriptor, diffId } = layer;
    const { digest } = descriptor;
    for (let other = this.#downloads.get(digest); other !== undefined; other = this.#downloads.get(digest))
      await other.catch(() => undefined);
    const known = store.content.info(digest);
    if (known !== undefined) return store.content.record(known, lease);
    const download = Promise.withResolvers<void>();
    this.#downloads.set(digest, download.promise);
    try {
      const job: LayerJob = {
        storeRoot: store.root,
        source: { kind: "registry", blob: source() },
        descriptor,
        diffId,
        diffPath: undefined,
      };
      const result = await this.#semaphore.run(signal, () => this.#options.run(job, () => undefined, signal));
      if (result.blob !== undefined) store.content.record(result.blob, lease);
    } finally {
      this.#downloads.delete(digest);
      download.resolve();
    }
  }

  #leave(result: TaskResult): void {
    const left = (this.#users.get(result) ?? 1) - 1;
    if (left > 0) this.#users.set(result, left);
    else {
      this.#users.delete(result);
      result.release();
    }
  }

  async #fill(
    layer: WantedLayer,
    source: () => BlobSource,
    emit: (event: LayerEvent) => void,
    signal: AbortSignal,
  ): Promise<TaskResult> {
    const { store } = this.#options;
    const { digest } = layer.descriptor;
    if (!this.#semaphore.idle) emit({ kind: "waiting" });
    // A lease of its own: the blob stays while any user of this task is still there.
    const lease = store.leases.create(`layer ${layer.chainId}`);
    let draft: LayerDraft | undefined;
    try {
      // A task that waits for another task's blob must not use up a place.
      for (let other = this.#downloads.get(digest); other !== undefined; other = this.#downloads.get(digest))
        await other.catch(() => undefined);
      const download = Promise.withResolvers<void>();
      download.promise.catch(() => undefined);
      this.#downloads.set(digest, download.promise);
      try {
        const result = await this.#semaphore.run(signal, async () => {
          draft = store.layers.draft();
          return this.#options.run(
            {
              storeRoot: store.root,
              source: this.#sourceOf(digest, source),
              descriptor: layer.descriptor,
              diffId: layer.diffId,
              diffPath: draft.diffPath,
            },
            emit,
            signal,
          );
        });
        if (result.blob !== undefined) store.content.record(result.blob, lease);
        return this.#filled(layer, draft!, result, lease, store.content.info(digest));
      } finally {
        this.#downloads.delete(digest);
        download.resolve();
      }
    } catch (error) {
      draft?.abort();
      store.leases.release(lease);
      throw error;
    }
  }

  #sourceOf(digest: Digest, source: () => BlobSource): LayerJob["source"] {
    const { content } = this.#options.store;
    if (content.info(digest) !== undefined) return { kind: "content", path: content.path(digest) };
    return { kind: "registry", blob: source() };
  }

  #filled(
    layer: WantedLayer,
    draft: LayerDraft,
    { size, implied }: LayerJobResult,
    lease: Lease,
    blob: ContentInfo | undefined,
  ): TaskResult {
    const { store } = this.#options;
    let committing: Promise<Layer> | undefined;
    const commit = async (): Promise<Layer> => {
      await draft.inherit(layer.parent, implied);
      // First under the task's lease: the task lasts longer than every single user.
      return draft.commit(layer.parent, layer.diffId, size, lease);
    };
    let released = false;
    return {
      blob,
      async commit(taker) {
        if (released) throw new EngineError("internal", `layer ${layer.chainId} was given back already`);
        const committed = await (committing ??= commit());
        if (!store.layers.hold(committed.chainId, taker))
          throw new EngineError("internal", `layer ${layer.chainId} does not exist although a lease holds it`);
        if (blob !== undefined) store.content.record(blob, taker);
        return committed;
      },
      release() {
        if (released) return;
        released = true;
        // Also after a commit that failed.
        draft.abort();
        store.leases.release(lease);
      },
    };
  }
}
