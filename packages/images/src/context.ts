/** Shared by the files of this package. */
import { maxConfigBytes, parseImageConfig, type Digest, type ImageConfig } from "@fathom/spec";
import type { ContentInfo, ImageRecord, Lease, UnpackedLayer } from "@fathom/store";
import type { ImagesParts, LocalImage } from "./contract.ts";
import type { BlobJob, CopyJob } from "./workers/file-jobs.ts";
import type { LayerJob, LayerJobResult } from "./workers/layer-job.ts";

export interface ImageContext extends Omit<ImagesParts, "registry" | "builtinLabels"> {
  /** Unpacks a layer in a worker thread. @throws as `runLayerJob` */
  runLayer(job: LayerJob, signal: AbortSignal): Promise<LayerJobResult>;
  /** Copies a writable layer into a new one, with its tar as a file, in a worker thread. @throws as `runCopyJob` */
  runCopy(job: CopyJob, signal: AbortSignal): Promise<UnpackedLayer>;
  /** Moves a file to the place of its blob, in a worker thread. @throws as `runBlobJob` */
  runBlob(job: BlobJob, signal: AbortSignal): Promise<ContentInfo>;
  /** A directory for unfinished files, below the data root; `await using` removes it, and other work goes on meanwhile. */
  workDirectory(): { readonly path: string } & AsyncDisposable;
  /** When a name was last set, RFC3339Nano. */
  tagTime(name: string): string | undefined;
  setTagTime(name: string): void;
}

/** Work with a lease of its own. When it fails, its objects are collected, because nobody will use them. */
export async function underLease<T>(
  { store, logger }: ImageContext,
  label: string,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  const lease = store.leases.create(label);
  try {
    const result = await work(lease);
    store.leases.release(lease);
    return result;
  } catch (error) {
    store.leases.release(lease);
    await store.collector.collect().catch((reason: unknown) => logger.warn("collecting failed", { error: reason }));
    throw error;
  }
}

/** Configs by image id: they never change. */
const configs = new Map<Digest, ImageConfig>();
const maxConfigs = 256;

export function configOf(context: ImageContext, id: Digest): ImageConfig {
  const known = configs.get(id);
  if (known !== undefined) return known;
  const config = parseImageConfig(context.store.content.read(id, maxConfigBytes));
  if (configs.size >= maxConfigs) configs.clear();
  configs.set(id, config);
  return config;
}

export function localImage(context: ImageContext, record: ImageRecord): LocalImage {
  return { id: record.id, config: configOf(context, record.id), topLayer: record.layers.at(-1) };
}
